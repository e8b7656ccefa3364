"""The fake as a process; see the package."""

from __future__ import annotations

import argparse
import sys

from shared.fakes.redis.fake import RedisFake
from shared.fakes.serving import run


def main(arguments: list[str] | None = None) -> int:
    """Serve databases until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.redis", description="Fake of Upstash Redis.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--token", action="append", help="a REST token with a database of its own; several times")
    options = parser.parse_args(arguments)

    def start() -> RedisFake:
        fake = RedisFake.start(port=options.port)
        for token in options.token or ["rest_fake"]:
            fake.database(token)
        return fake

    return run("Redis", options.port, start)


if __name__ == "__main__":
    sys.exit(main())
