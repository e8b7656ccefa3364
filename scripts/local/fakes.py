"""The vendors' stand-ins of this machine: one process each, started with the platform and ended with it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scripts.local import DEV, ROOT, LocalError

START_S = 60.0
"""Seconds until a fake must answer; the first start downloads the vendor's schema and the purchase log."""


@dataclass(frozen=True, slots=True)
class Shops:
    """The running Shopify fake. `gross`: domain -> (orders, gross total in cents) as the vendor has them."""

    base_url: str
    log: Path
    purchases: Path

    def gross(self) -> dict[str, tuple[int, int]]:
        """Orders and gross cents of every shop, asked now."""
        found = _asked(self.base_url, "shops")["shops"]
        return {shop["domain"]: (shop["orders"], shop["grossCents"]) for shop in found}


@dataclass(frozen=True, slots=True)
class Vendors:
    """All running fakes: the shops, and the addresses of the others."""

    shops: Shops
    slack: str
    resend: str
    redis: str
    merchant: str

    @property
    def settings(self) -> dict[str, str]:
        """The settings by which jobs find them."""
        return {
            "SHOPIFY_BASE_URL": self.shops.base_url,
            "SLACK_BASE_URL": self.slack,
            "RESEND_BASE_URL": self.resend,
            "UPSTASH_BASE_URL": self.redis,
            "MERCHANT_BASE_URL": self.merchant,
            "GOOGLE_OAUTH_BASE_URL": self.merchant,
        }


def start(held: ExitStack) -> Vendors:
    """Start every fake with what the demo tenants are given for it; `held` ends them. Raises LocalError."""
    from scripts.local import tenants

    google = ["--account", tenants.MERCHANT_ID, "--refresh-token", tenants.GOOGLE_REFRESH_TOKEN]
    return Vendors(
        shops=start_shopify(held),
        slack=_start(held, "slack", ["--token", tenants.SLACK_TOKEN], DEV / "slack")[0],
        resend=_start(held, "resend", ["--key", tenants.RESEND_KEY], DEV / "resend")[0],
        redis=_start(held, "redis", ["--token", tenants.REDIS_TOKEN], DEV / "redis")[0],
        merchant=_start(held, "demo_merchant", google, DEV / "merchant")[0],
    )


def start_shopify(held: ExitStack, folder: Path = DEV / "shopify") -> Shops:
    """Start the Shopify fake with the two demo shops; `held` ends it. Raises LocalError with one sentence."""
    from shared.fakes.vendor_files import VendorFileError, cdnow_log, shopify_schema

    try:
        purchases, schema = cdnow_log(), shopify_schema()
    except VendorFileError as error:
        raise LocalError(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--state-dir", str(folder), "--cdnow", str(purchases), "--schema", str(schema)]
    # A shop of the plan 'plus': the demo is about the jobs, not about waiting for a small shop's points.
    options += ["--maximum-available", "20000", "--restore-rate", "1000"]
    url, log = _start(held, "shopify", options, folder)
    return Shops(url, log, purchases)


def posted(slack_url: str) -> list[dict[str, Any]]:
    """What was posted to the Slack fake, oldest first."""
    return list(_asked(slack_url, "messages")["messages"])


def mailed(resend_url: str) -> list[dict[str, Any]]:
    """What the Resend fake has taken, oldest first."""
    return list(_asked(resend_url, "mails")["mails"])


def offered(merchant_url: str) -> list[dict[str, Any]]:
    """The state of every product that the Merchant fake holds."""
    return list(_asked(merchant_url, "products")["products"])


def stored(redis_url: str) -> dict[str, Any]:
    """What the first database of the Redis fake holds, by key."""
    return dict(_asked(redis_url, "keys")["databases"][0])


def command(redis_url: str, token: str, *commands: list[str | int]) -> None:
    """Let the Redis fake carry out commands, as a storefront would."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{redis_url}/pipeline", json.dumps(commands).encode(), headers)
    with urllib.request.urlopen(request, timeout=10):
        return


def _asked(url: str, what: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/_fake/{what}", timeout=30) as answer:
        return dict(json.load(answer))


def _start(held: ExitStack, vendor: str, options: list[str], folder: Path) -> tuple[str, Path]:
    """Start `python -m shared.fakes.<vendor>`; its address and its log. Raises LocalError when it does not answer."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = _free_port(), folder / "fake.log"
    output = held.enter_context(log.open("ab"))
    process = _spawn([sys.executable, "-m", f"shared.fakes.{vendor}", "--port", str(port), *options], output)
    held.callback(_end, process)
    url = f"http://127.0.0.1:{port}"
    _await(vendor, url, log, process)
    return url, log


def _spawn(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal reaches scripts/dev, which ends the fake when the rest is down.
    return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)


def _await(vendor: str, url: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_fake/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise LocalError(f"the {vendor} fake did not start; its log is {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
