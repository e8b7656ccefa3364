"""The Merchant fake of the demo: one account, and what Google thinks of some of the shop's albums.

    python -m shared.fakes.demo_merchant --port 4015 --account 1234567 --refresh-token rt_fake

Every 50th album's CD is disapproved, every 50th album's record is shown with a warning; everything else is approved as
soon as it has been looked at.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from shared.fakes.cdnow_order import ALBUMS
from shared.fakes.demo_catalog import offer_ids
from shared.fakes.merchant import Account, MerchantFake
from shared.fakes.merchant.rules import issue

REVIEW_S = 2.0
"""Seconds until a product has its verdict: the demo does not wait for Google's quarter of an hour."""
DISAPPROVED, WARNED = 11, 31
"""Albums with this remainder by 50."""


def judge(account: Account) -> None:
    """Decide what Google thinks of the demo's albums, whether they are sent or not."""
    for album in range(1, ALBUMS + 1):
        cd, record = offer_ids(album)
        if album % 50 == DISAPPROVED:
            found = issue("landing_page_error", "n:link", "DISAPPROVED", "US", "Landing page not working [link]")
            account.judge(cd, "disapproved", found)
        elif album % 50 == WARNED:
            found = issue("missing_gtin", "n:gtin", "DEMOTED", "US", "Limited performance, missing value [gtin]")
            account.judge(record, "approved", found)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.demo_merchant", description="The demo's Google.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--account", required=True, help="the merchant id")
    parser.add_argument("--refresh-token", required=True, help="the refresh token that opens it")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        fake = MerchantFake.start(port=options.port, review_s=REVIEW_S)
    except OSError as error:
        print(f"The Merchant fake cannot listen on 127.0.0.1:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    judge(fake.account(options.account, refresh_token=options.refresh_token))
    print(f"Merchant fake: {fake.base_url}", flush=True)
    stop.wait()
    fake.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
