"""The fake as a process; see the package."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from shared.fakes.redis.fake import RedisFake


def main(arguments: list[str] | None = None) -> int:
    """Serve databases until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.redis", description="Fake of Upstash Redis.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--token", action="append", help="a REST token with a database of its own; several times")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        fake = RedisFake.start(port=options.port)
    except OSError as error:
        print(f"The Redis fake cannot listen on 127.0.0.1:{options.port}: {error.strerror}.", file=sys.stderr)
        return 1
    for token in options.token or ["rest_fake"]:
        fake.database(token)
    print(f"Redis fake: {fake.base_url}", flush=True)
    stop.wait()
    fake.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
