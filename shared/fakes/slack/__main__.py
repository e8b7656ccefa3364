"""The fake as a process; see the package."""

from __future__ import annotations

import argparse
import sys

from shared.fakes.serving import run
from shared.fakes.slack.fake import SlackFake


def main(arguments: list[str] | None = None) -> int:
    """Serve one workspace until SIGTERM or Ctrl-C; 1 with one sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.fakes.slack", description="Fake of Slack.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--token", default="xoxb-fake", help="the bot token of its workspace")
    options = parser.parse_args(arguments)

    def start() -> SlackFake:
        fake = SlackFake.start(port=options.port)
        fake.team(options.token, opens=True)
        return fake

    return run("Slack", options.port, start)


if __name__ == "__main__":
    sys.exit(main())
