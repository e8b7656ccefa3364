"""The stand-in app as it runs on an engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local.deploy import client


@dataclass(frozen=True)
class DeployedApp:
    """The stand-in app on an engine, its functions running a handler of the test's own."""

    endpoint: str
    prefix: str
    seen: Path
    handler: Path

    def client(self, service: str) -> Any:
        return client(service, self.endpoint)

    def queue_url(self, name: str) -> str:
        return f"{self.endpoint}/000000000000/{self.prefix}-{name}"

    def received(self) -> list[dict[str, Any]]:
        """Records that the handler has seen so far."""
        lines = self.seen.read_text(encoding="utf-8").splitlines() if self.seen.exists() else []
        return [json.loads(line) for line in lines]
