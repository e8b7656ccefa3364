"""The secrets of a stage in Secrets Manager: one JSON object each, `<prefix>/jobs` and `<prefix>/admin`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.owner import OwnerError
from shared.cli.stages import SECRETS, Stage

ADMIN_ONLY = ("DATABASE_ADMIN_URL",)
"""What the functions of the jobs must not know."""


class StageSecrets:
    """Reads and writes the members of a stage's secrets; members that are not named stay as they are."""

    def __init__(self, stage: Stage, client: Any) -> None:
        self._stage = stage
        self._client = client

    def name(self, which: str) -> str:
        """Physical name: `cgk/jobs`."""
        return self._stage.secret(which)

    def read(self, which: str) -> dict[str, str]:
        """The members; empty when the secret has no value yet. OwnerError when it is not there or is no JSON object."""
        name = self.name(which)
        try:
            text = self._client.get_secret_value(SecretId=name)["SecretString"]
        except self._client.exceptions.ResourceNotFoundException:
            self._must_exist(name)
            return {}
        if not text.strip():
            return {}
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise OwnerError(f"the secret {name} holds no JSON object; correct it by hand")
        return {str(member): str(each) for member, each in value.items()}

    def write(self, which: str, values: Mapping[str, str], *, remove: Sequence[str] = ()) -> bool:
        """Set and remove members of one secret; whether that changed anything."""
        before = self.read(which)
        after = {name: value for name, value in {**before, **values}.items() if name not in remove}
        if after == before:
            return False
        self._client.put_secret_value(SecretId=self.name(which), SecretString=json.dumps(after))
        return True

    def write_both(self, values: Mapping[str, str], *, remove: Sequence[str] = ()) -> None:
        """The same in every secret, the jobs' first: whoever goes on after a crash takes that one's word."""
        for which in SECRETS:
            self.write(which, values, remove=remove)

    def _must_exist(self, name: str) -> None:
        try:
            self._client.describe_secret(SecretId=name)
        except self._client.exceptions.ResourceNotFoundException:
            raise OwnerError(
                f"the secret {name} is not there: deploy stage {self._stage.name} first, or check the credentials"
            ) from None


def holders(name: str) -> tuple[str, ...]:
    """Which secrets hold a setting."""
    return ("admin",) if name in ADMIN_ONLY else SECRETS
