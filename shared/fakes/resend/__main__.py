"""The fake as a process; see the package."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from shared.fakes.resend.fake import ResendFake


def main(arguments: list[str] | None = None) -> int:
    """Serve one team until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.resend", description="Fake of Resend.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--key", action="append", help="an API key that it accepts; may be given several times")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        fake = ResendFake.start(port=options.port)
    except OSError as error:
        print(f"The Resend fake cannot listen on 127.0.0.1:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    for key in options.key or ["re_fake"]:
        fake.team(key)
    print(f"Resend fake: {fake.base_url}", flush=True)
    stop.wait()
    fake.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
