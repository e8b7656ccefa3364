"""The fake as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.shared.fakes.test_cdnow import MADE_UP

ROOT = Path(__file__).resolve().parents[3]


def command(schema_path: Path, state: Path, port: int, *more: str) -> list[str]:
    module = [sys.executable, "-m", "shared.fakes.shopify"]
    return [*module, "--port", str(port), "--state-dir", str(state), "--schema", str(schema_path), *more]


def test_process_serves_the_demo_shops_until_it_is_told_to_stop(schema_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text(MADE_UP, encoding="ascii")
    arguments = command(schema_path, tmp_path / "state", 0, "--cdnow", str(log), "--trickle", "2")
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]

        with urllib.request.urlopen(f"{address}/_fake/health") as health:
            assert json.load(health)["ok"] is True
        with urllib.request.urlopen(f"{address}/_fake/shops") as shops:
            totals = {shop["domain"]: (shop["orders"], shop["grossCents"]) for shop in json.load(shops)["shops"]}
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    assert totals == {"demo-one.myshopify.com": (4, 98_77), "demo-two.myshopify.com": (2, 77_00)}


def test_port_in_use_is_one_sentence(schema_path: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(command(schema_path, tmp_path, port), cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr == f"The Shopify fake cannot listen on 127.0.0.1:{port}: Address already in use.\n"
