"""What a synchronisation would do, worked out before anything is written; and doing it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scripts.owner import OwnerError, WrongUse
from scripts.owner.env_sync.vercel import Variable, VercelProject
from scripts.owner.secrets import StageSecrets, holders
from shared.cli.stages import Stage
from shared.crypto import MASTER_KEY

LISTS = ("secrets", "optional-secrets", "parameters", "optional-parameters")
MAX_PARAMETER_BYTES = 4096
"""A standard parameter of SSM; what is larger belongs into the secret."""

What = Literal["new", "same", "changed", "missing", "unreadable", "absent", "refused"]
BAD: tuple[What, ...] = ("missing", "unreadable", "refused")
"""What stands in the way of writing anything."""


@dataclass(frozen=True)
class Selection:
    """Names to bring over. `secrets` go into the stage's secrets, `parameters` into SSM; those of `optional` may be
    absent in the project."""

    secrets: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> Selection:
        """From a JSON object of the four lists; WrongUse when it is another."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise WrongUse(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            found = None
        if not isinstance(found, dict) or not set(found) <= set(LISTS):
            raise WrongUse(f"{path} must be a JSON object of lists: {', '.join(LISTS)}")
        lists = {name: tuple(found.get(name, ())) for name in LISTS}
        names = [name for each in lists.values() for name in each]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise WrongUse(f"{path} names {', '.join(twice)} twice")
        return cls(
            lists["secrets"] + lists["optional-secrets"],
            lists["parameters"] + lists["optional-parameters"],
            frozenset(lists["optional-secrets"] + lists["optional-parameters"]),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, secrets first."""
        return self.secrets + self.parameters


@dataclass(frozen=True)
class Line:
    """One name and one place. `value` is never shown."""

    name: str
    place: str
    what: What
    why: str = ""
    value: str | None = field(default=None, repr=False)


class Destination:
    """The stage's secrets and parameters."""

    def __init__(self, stage: Stage, secrets: StageSecrets, ssm: Any) -> None:
        self._stage, self._secrets, self._ssm = stage, secrets, ssm

    def parameter(self, name: str) -> str:
        """Physical name of a parameter: `/cgk/ADMIN_URL`."""
        return f"/{self._stage.prefix}/{name}"

    def secret_lines(self, values: Mapping[str, str]) -> list[Line]:
        """What writing these into the secrets would do."""
        there = {which: self._secrets.read(which) for which in ("jobs", "admin")}
        return [
            _line(name, self._secrets.name(which), value, there[which].get(name))
            for name, value in values.items()
            for which in holders(name)
        ]

    def parameter_lines(self, values: Mapping[str, str]) -> list[Line]:
        """What writing these into SSM would do."""
        there: dict[str, str] = {}
        names = [self.parameter(name) for name in values]
        for start in range(0, len(names), 10):  # GetParameters takes ten
            found = self._ssm.get_parameters(Names=names[start : start + 10], WithDecryption=True)
            there |= {each["Name"]: each["Value"] for each in found["Parameters"]}
        lines: list[Line] = []
        for name, value in values.items():
            place = self.parameter(name)
            if len(value.encode()) > MAX_PARAMETER_BYTES:
                why = f"has more than {MAX_PARAMETER_BYTES} bytes; select it as a secret"
                lines.append(Line(name, place, "refused", why))
            else:
                lines.append(_line(name, place, value, there.get(place)))
        return lines

    def write(self, lines: Sequence[Line]) -> int:
        """Write what is new or changed; the number of values."""
        due = [line for line in lines if line.what in ("new", "changed") and line.value is not None]
        for which in ("jobs", "admin"):
            members = {line.name: line.value for line in due if line.place == self._secrets.name(which) and line.value}
            if members:
                self._secrets.write(which, members)
        for line in due:
            if line.place == self.parameter(line.name):
                self._ssm.put_parameter(Name=line.place, Value=line.value, Type="SecureString", Overwrite=True)
        return len(due)


def plan(project: VercelProject, environment: str, selection: Selection, destination: Destination) -> list[Line]:
    """A line per name and place, in the order of the selection."""
    there = project.variables(environment)
    known = {name: there[name] for name in selection.names if name in there and there[name].readable}
    values = {name: project.value(variable) for name, variable in known.items()}
    secrets = {name: values[name] for name in selection.secrets if name in values}
    parameters = {name: values[name] for name in selection.parameters if name in values}
    lines = destination.secret_lines(secrets) + destination.parameter_lines(parameters)
    return lines + [
        _absent(name, there.get(name), selection, environment) for name in selection.names if name not in values
    ]


def _absent(name: str, variable: Variable | None, selection: Selection, environment: str) -> Line:
    if variable is not None:
        why = f"is of type {variable.type}, which Vercel shows to nobody; write it by hand or leave it out"
        return Line(name, "", "unreadable", why)
    if name in selection.optional:
        return Line(name, "", "absent", f"is not in {environment}, and optional")
    return Line(name, "", "missing", f"is not in {environment}")


def _line(name: str, place: str, value: str, before: str | None) -> Line:
    if not value:
        return Line(name, place, "refused", "is empty")
    if before is None:
        return Line(name, place, "new", value=value)
    if before == value:
        return Line(name, place, "same")
    if name == MASTER_KEY:
        return Line(name, place, "refused", "is another key than the stage's; use scripts/keys rotate")
    return Line(name, place, "changed", value=value)


def obstacles(lines: Sequence[Line]) -> list[Line]:
    """What must be settled before anything is written."""
    return [line for line in lines if line.what in BAD]


def refuse(lines: Sequence[Line]) -> None:
    """OwnerError when something stands in the way: half of a configuration is worse than the old one."""
    if found := obstacles(lines):
        raise OwnerError(f"nothing was written: {'; '.join(f'{line.name} {line.why}' for line in found)}")
