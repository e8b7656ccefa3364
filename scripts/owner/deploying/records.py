"""What is deployed: one object per deployment in the app's own bucket, and one that says which is current.

    deployments/current.json           id of the deployment that runs, and of the one before
    deployments/<id>/manifest.json     its routes
    deployments/<id>/assembly.zip      its templates, for going back
    deployments/begun.json             routes of a deployment that is under way, or was when it was killed

A bucket and neither an SSM parameter (8 KiB at most) nor a stack output (no more than a few): the contracts of 240 jobs
are some hundred kilobytes. The app's own bucket, because it goes where the stage goes, is encrypted as the stage is,
and functions can write below `payloads` only. It is written after the deployment, so a record never promises what is
not there. The objects stay: together they are small, and they are the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from scripts.owner import OwnerError
from scripts.owner.deploying.routes import Manifest

PREFIX = "deployments/"
CURRENT = f"{PREFIX}current.json"
BEGUN = f"{PREFIX}begun.json"
MISSING = ("NoSuchKey", "NoSuchBucket", "404")
T = TypeVar("T", bound=BaseModel)


class Current(BaseModel):
    """Which deployment runs. `commit`: what it was made of; `previous`: what ran before it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    commit: str
    at: datetime
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One deployment as it was stored."""

    current: Current
    manifest: Manifest


class Records:
    """The records of one stage."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def current(self) -> Record | None:
        """What runs; None before the first deployment. OwnerError when what is stored cannot be read."""
        if (text := self._read(CURRENT)) is None:
            return None
        current = _parsed(Current, text, CURRENT)
        return Record(current, self.manifest(current.id))

    def manifest(self, id: str) -> Manifest:
        """The routes of a deployment."""
        place = f"{PREFIX}{id}/manifest.json"
        if (text := self._read(place)) is None:
            raise OwnerError(f"{place} is missing in bucket {self._bucket}: the history of the stage is damaged")
        return _parsed(Manifest, text, place)

    def assembly(self, id: str) -> bytes:
        """The packed templates of a deployment."""
        place = f"{PREFIX}{id}/assembly.zip"
        if (packed := self._read(place)) is None:
            raise OwnerError(f"{place} is missing in bucket {self._bucket}: there is nothing to go back to")
        return packed

    def write(self, current: Current, manifest: Manifest, packed: bytes) -> None:
        """Store a deployment, and then that it is the current one."""
        self._put(f"{PREFIX}{current.id}/manifest.json", _text(manifest))
        self._put(f"{PREFIX}{current.id}/assembly.zip", packed)
        self._put(CURRENT, current.model_dump_json().encode())
        self.end()

    def begun(self) -> Manifest | None:
        """The routes of a deployment that did not come to its end; None when the last one did."""
        text = self._read(BEGUN)
        return None if text is None else _parsed(Manifest, text, BEGUN)

    def begin(self, manifest: Manifest) -> None:
        """From now on some of these routes may be there. Nothing to write to before the first deployment."""
        if self._there():
            self._put(BEGUN, _text(manifest))

    def end(self) -> None:
        """What is deployed is what the current record says."""
        self._s3.delete_object(Bucket=self._bucket, Key=BEGUN)

    def _there(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return False
            raise
        return True

    def ids(self) -> list[str]:
        """All deployments, the newest last: an id begins with its instant."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        names = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return sorted({name.split("/")[1] for name in names if name.endswith("/assembly.zip")})

    def _read(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        try:
            found: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        return found

    def _put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)


def _text(manifest: Manifest) -> bytes:
    return manifest.model_dump_json(exclude_defaults=True).encode()


def _parsed(model: type[T], text: bytes, place: str) -> T:
    try:
        return model.model_validate_json(text)
    except ValidationError:
        raise OwnerError(f"{place} cannot be read: it was written by another version of scripts/deploy") from None
