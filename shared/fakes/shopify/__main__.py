"""The fake as a process.

    python -m shared.fakes.shopify --port 4010 --state-dir .dev/shopify --cdnow .dev/cache/CDNOW_master.txt

With --cdnow two shops are open: one with the whole purchase log and the albums that it sells, one whose orders are the
last purchases of the log. The log's last day is yesterday at the first start and stays there while the state directory
lives, so that a second start shows the same shop. Ends with status 0 on SIGTERM or Ctrl-C, 1 with one sentence when it
cannot start.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from shared.fakes import cdnow, demo_catalog
from shared.fakes.shopify.fake import ShopifyFake
from shared.fakes.shopify.shop import Shop
from shared.fakes.vendor_files import VendorFileError, shopify_schema

DEMO_TOKEN = "fake-access-token"


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes."""
    options = _options(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        options.state_dir.mkdir(parents=True, exist_ok=True)
        schema = options.schema or shopify_schema()
        fake = ShopifyFake.start(schema, port=options.port, state_dir=options.state_dir)
    except VendorFileError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The Shopify fake cannot listen on 127.0.0.1:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    try:
        _open_shops(fake, options)
    except (OSError, ValueError) as error:
        print(f"The Shopify fake cannot read the purchase log: {error}", file=sys.stderr)
        fake.stop()
        return 1
    print(f"Shopify fake: {fake.base_url} ({', '.join(fake.shops) or 'no shops'})", flush=True)
    stop.wait()
    fake.stop()
    return 0


def _open_shops(fake: ShopifyFake, options: argparse.Namespace) -> None:
    shops: list[Shop] = [fake.shop(*_domain_and_token(each)) for each in options.shop]
    if options.cdnow:
        log = cdnow.read_log(options.cdnow)
        day = cdnow.anchored_last_day(options.state_dir, datetime.now(UTC))
        whole, last = cdnow.whole_log(log, day), cdnow.trickle(log, day, options.trickle)
        shops.append(fake.shop(*_domain_and_token(options.cdnow_shop), base=whole))
        demo_catalog.fill(shops[-1])
        shops.append(fake.shop(*_domain_and_token(options.trickle_shop), base=last))
    for shop in shops:
        shop.bucket.maximum, shop.bucket.rate = options.maximum_available, options.restore_rate
        shop.bulk.wait_s = options.bulk_wait


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m shared.fakes.shopify", description="Fake of the Shopify Admin API."
    )
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True, help="where bulk files are kept")
    parser.add_argument("--schema", type=Path, help="gzipped introspection (default: fetched once into the cache)")
    parser.add_argument("--cdnow", type=Path, help="CDNOW_master.txt: open the two demo shops")
    parser.add_argument("--cdnow-shop", default="demo-one.myshopify.com", metavar="DOMAIN[=TOKEN]")
    parser.add_argument("--trickle-shop", default="demo-two.myshopify.com", metavar="DOMAIN[=TOKEN]")
    parser.add_argument("--trickle", type=int, default=cdnow.TRICKLE_ORDERS, help="orders of the second demo shop")
    parser.add_argument(
        "--shop", action="append", default=[], metavar="DOMAIN[=TOKEN]", help="an empty shop; repeatable"
    )
    parser.add_argument("--maximum-available", type=float, default=2000.0, help="points in a full bucket")
    parser.add_argument("--restore-rate", type=float, default=100.0, help="points per second")
    parser.add_argument("--bulk-wait", type=float, default=5.0, help="seconds a poll waits for a bulk file")
    return parser.parse_args(arguments)


def _domain_and_token(text: str) -> tuple[str, str]:
    domain, _, token = text.partition("=")
    return domain, token or DEMO_TOKEN


if __name__ == "__main__":
    sys.exit(main())
