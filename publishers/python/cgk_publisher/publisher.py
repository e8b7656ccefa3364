"""Sends events to the bus: in batches, what the bus refuses for a moment again, never in silence."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cgk_publisher.base import AppEvent, wire

BATCH = 10
"""Entries of one PutEvents call, EventBridge's most."""
MAX_BYTES = 900_000
"""Bytes of an event, and of one call: EventBridge takes 1 MiB, names and envelope need some of it."""
MAX_KEY = 512
OWN_SOURCE = "cgk.jobs"
"""What the jobs themselves publish as; applications may not."""
ATTEMPTS = 4
FIRST_WAIT_S = 0.1
PASSING = ("ThrottlingException", "InternalFailure", "InternalException", "ServiceUnavailable")
"""Codes of entries that the bus may take a moment later."""
_TENANT = re.compile(r"[a-z0-9_]{1,50}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class PublishRefused(ValueError):
    """Nothing was sent: the event, the tenant or the key cannot be right. The text holds no value of the payload."""


@dataclass(frozen=True)
class Failed:
    """An event that the bus did not take: its place in the list that was given, and the bus's code."""

    position: int
    code: str


class PublishFailed(RuntimeError):
    """Some events were not taken, after all attempts. `ids`: the others' event ids, None for those of `failed`."""

    def __init__(self, failed: Sequence[Failed], ids: Sequence[str | None]) -> None:
        codes = ", ".join(sorted({each.code for each in failed}))
        super().__init__(f"{len(failed)} of {len(ids)} events were not taken by the bus: {codes}")
        self.failed, self.ids = tuple(failed), tuple(ids)


@dataclass(frozen=True)
class Outgoing:
    """An event of a tenant (slug or organizations.id). `key`: the same key and event start each job once."""

    event: AppEvent
    tenant: str
    key: str | None = None


class Publisher:
    """Publishes to one bus as `source`, the application's name. Endpoint, region and login are boto3's own matter."""

    def __init__(
        self,
        source: str,
        *,
        bus: str | None = None,
        client: Any = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`bus`: its name, else CGK_BUS, else `cgk`. `client`: a boto3 client of EventBridge, made at first use."""
        if source == OWN_SOURCE or source.startswith("aws."):
            raise PublishRefused(f"the source {source!r} is not an application's")
        self._source = source
        self._bus = bus or os.environ.get("CGK_BUS") or "cgk"
        self._client = client
        self._sleep = sleep

    def publish(self, event: AppEvent, tenant: str, *, key: str | None = None) -> str:
        """Publish one event; its id on the bus. Raises PublishRefused, PublishFailed."""
        return self.publish_all([Outgoing(event, tenant, key)])[0]

    def publish_all(self, events: Sequence[Outgoing]) -> list[str]:
        """Publish many; their ids in the same order. All are checked before any is sent."""
        entries = [self._entry(each) for each in events]
        ids: list[str | None] = [None] * len(entries)
        waiting = list(range(len(entries)))
        failed: list[Failed] = []
        for attempt in range(ATTEMPTS):
            failed = [f for batch in _batches(entries, waiting) for f in self._put(entries, batch, ids)]
            waiting = [f.position for f in failed if f.code in PASSING]
            lasting = len(waiting) < len(failed)
            if not waiting or lasting or attempt == ATTEMPTS - 1:
                break
            self._sleep(random.uniform(0, FIRST_WAIT_S * 2**attempt))  # full jitter: callers do not come back together
        if failed:
            raise PublishFailed(failed, ids)
        return [id for id in ids if id is not None]

    def _entry(self, outgoing: Outgoing) -> dict[str, str]:
        if not _TENANT.fullmatch(outgoing.tenant):
            raise PublishRefused("the tenant is neither a slug (a-z, 0-9, _) nor an organization's id")
        if outgoing.key is not None and not 0 < len(outgoing.key) <= MAX_KEY:
            raise PublishRefused(f"the key must have 1 to {MAX_KEY} characters")
        meta = {} if outgoing.key is None else {"_meta": {"key": outgoing.key}}
        members = {"tenantId": outgoing.tenant, **wire(outgoing.event), **meta}
        detail = json.dumps(members, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        if len(detail.encode()) > MAX_BYTES:
            raise PublishRefused(f"{outgoing.event.EVENT_NAME} has more than {MAX_BYTES:,} bytes; split the work")
        return {
            "EventBusName": self._bus,
            "Source": self._source,
            "DetailType": outgoing.event.EVENT_NAME,
            "Detail": detail,
        }

    def _put(self, entries: list[dict[str, str]], batch: Sequence[int], ids: list[str | None]) -> list[Failed]:
        """Send one batch; fills `ids`, gives what failed."""
        answers = self._events().put_events(Entries=[entries[n] for n in batch])["Entries"]
        failed: list[Failed] = []
        for position, answer in zip(batch, answers, strict=True):
            if answer.get("ErrorCode"):
                failed.append(Failed(position, str(answer["ErrorCode"])))
            else:
                ids[position] = str(answer["EventId"])
        return failed

    def _events(self) -> Any:
        if self._client is None:
            import boto3  # 0.2 s: only who publishes pays

            self._client = boto3.client("events")
        return self._client


def _batches(entries: Sequence[dict[str, str]], positions: Sequence[int]) -> Iterator[list[int]]:
    """Positions in batches that respect count and bytes."""
    batch: list[int] = []
    weight = 0
    for position in positions:
        size = len(entries[position]["Detail"].encode()) + 200
        if batch and (len(batch) == BATCH or weight + size > MAX_BYTES):
            yield batch
            batch, weight = [], 0
        batch.append(position)
        weight += size
    if batch:
        yield batch
