"""Projects and their variables, and what the API says of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from shared.fakes import serving

Answer = tuple[int, dict[str, Any]]
PAGE = 20
"""Variables per page."""
CREATED_MS = 1_760_000_000_000


@dataclass(frozen=True)
class Variable:
    """A variable. `custom`: slugs of custom environments; `number`: its place in time, newest highest."""

    id: str
    key: str
    value: str = field(repr=False)
    type: str
    target: tuple[str, ...]
    git_branch: str | None
    custom: tuple[str, ...]
    number: int


@dataclass
class Project:
    """`team`: (id, slug) of its team, None for a personal project."""

    id: str
    name: str
    team: tuple[str, str] | None = None
    variables: list[Variable] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def set(
        self,
        key: str,
        value: str,
        *,
        type: str = "encrypted",
        target: tuple[str, ...] = ("production", "preview", "development"),
        git_branch: str | None = None,
        custom: tuple[str, ...] = (),
    ) -> Variable:
        """Add a variable, as the dashboard does."""
        number = next(self._numbers)
        made = Variable(f"env{number:06}", key, value, type, target, git_branch, custom, number)
        self.variables.append(made)
        return made


class VercelFake(serving.Fake[serving.Fault]):
    """A running fake. Use `VercelFake.start()`, and `stop()` or a with-block."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: set[str] = set()
        self.projects: list[Project] = []
        self.asked: list[str] = []

    @classmethod
    def start(cls, *, port: int = 0) -> VercelFake:
        """Serve on 127.0.0.1 (port 0: any free one). Raises OSError."""
        from shared.fakes.vercel.server import Handler

        fake = cls()
        return fake.serve(port, Handler)

    def answer(self, path: str, query: dict[str, str], token: str | None) -> Answer:
        """What the API says: status and body."""
        self.asked.append(path + ("?" + "&".join(f"{n}={v}" for n, v in sorted(query.items())) if query else ""))
        if token not in self.tokens:
            flag = "missingToken" if token is None else "invalidToken"
            return 403, {"error": {"code": "forbidden", "message": "Not authorized", flag: True}}
        match path.strip("/").split("/"):
            case ["v10", "projects", name, "env"]:
                project = self._project(name, query)
                return self._list(project, query) if project else _not_found("Project not found.")
            case ["v1", "projects", name, "env", id]:
                project = self._project(name, query)
                found = next((v for v in project.variables if v.id == id), None) if project else None
                return (200, _shown(found, decrypted=True)) if found else _not_found("Environment variable not found.")
        return _not_found("The requested resource could not be found.")

    def _project(self, name: str, query: dict[str, str]) -> Project | None:
        for project in self.projects:
            named = name in (project.id, project.name)
            team = query.get("teamId") or query.get("slug")
            if named and (team in project.team if project.team else team is None):
                return project
        return None

    def _list(self, project: Project, query: dict[str, str]) -> Answer:
        """Newest first, page by page; variables of custom environments only when one is asked for."""
        slug, until = query.get("customEnvironmentSlug"), int(query.get("until", "0"))
        found = [v for v in project.variables if (slug in v.custom if slug else not v.custom)]
        found = [v for v in reversed(found) if not until or v.number < until]
        page = found[:PAGE]
        more = page[-1].number if len(found) > PAGE else None
        pagination = {"count": len(page), "next": more, "prev": None}
        return 200, {"envs": [_shown(v, decrypted=False) for v in page], "pagination": pagination}


def _shown(variable: Variable, *, decrypted: bool) -> dict[str, Any]:
    plain = variable.type == "plain"
    readable = variable.type not in ("sensitive", "system")
    value = variable.value if readable and (plain or decrypted) else "eyJ2IjoidjIiLCJjIjoi" if readable else ""
    shown = {
        "id": variable.id,
        "key": variable.key,
        "type": variable.type,
        "value": value,
        "target": list(variable.target),
        "customEnvironmentIds": [f"env_{slug}" for slug in variable.custom],
        "configurationId": None,
        "createdAt": CREATED_MS + variable.number,
        "updatedAt": CREATED_MS + variable.number,
        "decrypted": readable and (plain or decrypted),
    }
    return shown | ({"gitBranch": variable.git_branch} if variable.git_branch else {})


def _not_found(message: str) -> Answer:
    return 404, {"error": {"code": "not_found", "message": message}}
