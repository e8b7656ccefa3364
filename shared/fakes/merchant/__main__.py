"""The fake as a process; see the package."""

from __future__ import annotations

import argparse
import sys

from shared.fakes.merchant.fake import MerchantFake
from shared.fakes.serving import run


def main(arguments: list[str] | None = None) -> int:
    """Serve accounts until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.merchant", description="Fake of Google Merchant API.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--account", action="append", help="a merchant id; may be given several times")
    parser.add_argument("--refresh-token", default="rt_fake", help="the refresh token that opens all of them")
    parser.add_argument("--review-s", type=float, default=60.0, help="seconds until a product has its verdict")
    options = parser.parse_args(arguments)

    def start() -> MerchantFake:
        fake = MerchantFake.start(port=options.port, review_s=options.review_s)
        for id in options.account or ["1234567"]:
            fake.account(id, refresh_token=options.refresh_token)
        return fake

    return run("Merchant", options.port, start)


if __name__ == "__main__":
    sys.exit(main())
