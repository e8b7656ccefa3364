"""The fake as a process; see the package."""

from __future__ import annotations

import argparse
import sys

from shared.fakes.resend.fake import ResendFake
from shared.fakes.serving import run


def main(arguments: list[str] | None = None) -> int:
    """Serve one team until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.resend", description="Fake of Resend.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--key", action="append", help="an API key that it accepts; may be given several times")
    options = parser.parse_args(arguments)

    def start() -> ResendFake:
        fake = ResendFake.start(port=options.port)
        for key in options.key or ["re_fake"]:
            fake.team(key)
        return fake

    return run("Resend", options.port, start)


if __name__ == "__main__":
    sys.exit(main())
