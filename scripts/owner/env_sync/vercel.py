"""A Vercel project's environment through its REST API: what there is, and single values.

    GET /v10/projects/{idOrName}/env         names, types, environments; values stay encrypted
    GET /v1/projects/{idOrName}/env/{id}     one decrypted value

Only the selected values are ever decrypted. A variable of type `sensitive` can be read by nobody once it is stored.
Source: vercel.com/docs/rest-api, endpoints filterProjectEnvs and getProjectEnv.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from scripts.owner import OwnerError
from shared.integrations.http import Http
from shared.jobs.errors import JobError, Permanent, RateLimited, Transient

BASE_URL = "https://api.vercel.com"
VENDOR = "vercel"
TARGETS = ("production", "preview", "development")
"""Vercel's own environments; any other name is a custom environment's slug."""
UNREADABLE = ("sensitive", "system")
"""Types whose value the API does not give."""
ATTEMPTS = 4
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 60.0
"""A limit that lasts longer is told instead of waited for."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable as it is listed."""

    id: str
    name: str
    type: str

    @property
    def readable(self) -> bool:
        """Whether its value can be asked for."""
        return self.type not in UNREADABLE


@dataclass
class VercelProject:
    """`team`: id (team_..) or slug of the team that owns the project; None for a personal one."""

    token: str = field(repr=False)
    project: str
    team: str | None = None
    base_url: str = BASE_URL
    http: Http = field(default_factory=Http)
    sleep: Callable[[float], None] = time.sleep

    def variables(self, environment: str) -> dict[str, Variable]:
        """Name -> variable of an environment; those of single git branches are left out."""
        query = {} if environment in TARGETS else {"customEnvironmentSlug": environment}
        found: dict[str, Variable] = {}
        until: int | None = None
        while True:
            page = self._get(f"/v10/projects/{self._quoted()}/env", query | ({"until": str(until)} if until else {}))
            for each in page.get("envs", ()):
                if not each.get("gitBranch") and (query or environment in _targets(each)):
                    found[each["key"]] = Variable(str(each["id"]), each["key"], each.get("type", "encrypted"))
            until = (page.get("pagination") or {}).get("next")
            if not until:
                return found

    def value(self, variable: Variable) -> str:
        """The decrypted value; OwnerError when Vercel does not give it."""
        found = self._get(f"/v1/projects/{self._quoted()}/env/{quote(variable.id, safe='')}", {})
        value = found.get("value")
        if not isinstance(value, str) or not found.get("decrypted", variable.type == "plain"):
            raise OwnerError(f"Vercel does not give the value of {variable.name} (type {variable.type})")
        return value

    def _quoted(self) -> str:
        return quote(self.project, safe="")

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """One answer; waits out short limits and troubles. OwnerError with what to do."""
        whole = dict(query) | self._of_team()
        url = f"{self.base_url}{path}" + (f"?{urlencode(whole)}" if whole else "")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self.http.request(
                    "GET", url, vendor=VENDOR, headers={"Authorization": f"Bearer {self.token}"}, timeout_s=20
                ).json()
            except (RateLimited, Transient) as error:
                wait = _wait_s(error, attempt)
                if attempt == ATTEMPTS or wait > MAX_WAIT_S:
                    raise OwnerError(f"Vercel cannot be asked now: {error.code}") from None
                self.sleep(wait)
            except JobError as error:
                raise OwnerError(_sentence(error, self)) from None
            else:
                if not isinstance(answer, dict):
                    raise OwnerError("Vercel's answer is no object")
                return answer
        raise AssertionError("unreachable")

    def _of_team(self) -> dict[str, str]:
        if not self.team:
            return {}
        return {"teamId": self.team} if self.team.startswith("team_") else {"slug": self.team}


def _targets(listed: Mapping[str, Any]) -> tuple[str, ...]:
    """The environments of a listed variable; the API gives one or a list."""
    target = listed.get("target") or ()
    return (target,) if isinstance(target, str) else tuple(target)


def _wait_s(error: RateLimited | Transient, attempt: int) -> float:
    told = getattr(error, "after_s", None)
    return float(told) if told else FIRST_WAIT_S * 2.0 ** (attempt - 1)


def _sentence(error: JobError, project: VercelProject) -> str:
    if isinstance(error, Permanent) and error.code.endswith(("_401", "_403")):
        return "Vercel refuses the token: set VERCEL_ACCESS_TOKEN to one that may read this project (and its team)"
    if error.code.endswith("_404"):
        team = f" of team {project.team}" if project.team else "; a team's project needs VERCEL_TEAM_ID"
        return f"Vercel knows no project {project.project}{team}"
    return f"Vercel cannot be asked: {error.code}"
