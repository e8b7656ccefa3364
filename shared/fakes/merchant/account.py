"""A merchant account: its data sources, its product inputs, and what becomes of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.fakes.merchant.rules import issue, issues_of

INPUT_LIFE = timedelta(days=30)
"""An input is forgotten so long after its last insert."""
CONTEXTS = ("SHOPPING_ADS", "FREE_LISTINGS")

Place = tuple[str, str, str, str]
"""(data source, language, label, offer id)."""


@dataclass
class Input:
    """A product input. `inserted_at` decides when it is forgotten, `changed_at` when Google looks again."""

    source: str
    language: str
    label: str
    offer_id: str
    attributes: dict[str, Any]
    inserted_at: datetime
    changed_at: datetime
    inserts: int = 1
    patches: int = 0

    @property
    def name(self) -> str:
        """Last segment of its resource name."""
        plain = "~".join((self.language, self.label, self.offer_id))
        if re.fullmatch(r"[A-Za-z0-9_~-]+", plain):
            return plain
        return base64.urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


@dataclass
class Account:
    """An account; tests read and change its members. `verdicts`: offer id -> (standing, issues) decided by a test."""

    id: str
    now: Callable[[], datetime]
    review_s: float
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[Place, Input] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, list[dict[str, Any]]]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    """Offer ids that the list of processed products leaves out, as Google sometimes does."""
    writes: list[datetime] = field(default_factory=list)
    minute_quota: int | None = None
    day_quota: int | None = None

    @property
    def path(self) -> str:
        return f"accounts/{self.id}"

    def source(self, display_name: str, *, language: str = "en", label: str = "US", file: bool = False) -> str:
        """Make a data source; its name."""
        name = f"{self.path}/dataSources/{len(self.sources) + 1001}"
        primary = {"contentLanguage": language, "feedLabel": label, "countries": [label]}
        self.sources[name] = {"name": name, "displayName": display_name, "primaryProductDataSource": primary}
        if file:
            self.sources[name]["fileInput"] = {"fetchSettings": {"enabled": True}}
        return name

    def judge(self, offer_id: str, standing: str, *issues: dict[str, Any]) -> None:
        """Decide the verdict on an offer: approved, disapproved or pending, with issues."""
        self.verdicts[offer_id] = (standing, list(issues))

    def held(self) -> dict[str, Input]:
        """The inputs by offer id, forgotten ones left out."""
        self._forget()
        return {each.offer_id: each for each in self.inputs.values()}

    def find(self, source: str, name: str) -> Input | None:
        """The input of a data source by the last segment of its name."""
        self._forget()
        return next((i for i in self.inputs.values() if i.source == source and i.name == name), None)

    def insert(self, source: str, body: Mapping[str, Any]) -> Input:
        """Upsert; a second insert replaces everything."""
        place: Place = (source, body["contentLanguage"], body["feedLabel"], body["offerId"])
        before, now = self.inputs.get(place), self.now()
        made = Input(source, place[1], place[2], place[3], dict(body["productAttributes"]), now, now)
        if before is not None:
            made.inserts, made.patches = before.inserts + 1, before.patches
        self.inputs[place] = made
        return made

    def patch(self, input: Input, attributes: Mapping[str, Any], mask: list[str]) -> None:
        """Set what the mask names; what is not in the body goes away."""
        for name in mask:
            if name in attributes:
                input.attributes[name] = attributes[name]
            else:
                input.attributes.pop(name, None)
        input.changed_at, input.patches = self.now(), input.patches + 1

    def delete(self, input: Input) -> None:
        """Forget an input."""
        del self.inputs[input.source, input.language, input.label, input.offer_id]

    def over_quota(self) -> str | None:
        """The quota that a write now goes over, counted by minute and by day."""
        now = self.now()
        self.writes = [at for at in self.writes if now - at < timedelta(days=1)]
        if self.day_quota is not None and len(self.writes) >= self.day_quota:
            return "quota/daily_limit_exceeded"
        minute = [at for at in self.writes if now - at < timedelta(minutes=1)]
        if self.minute_quota is not None and len(minute) >= self.minute_quota:
            return "quota/request_rate_too_high"
        self.writes.append(now)
        return None

    def products(self) -> list[dict[str, Any]]:
        """Processed products, in order of their names."""
        self._forget()
        shown = [each for each in self.inputs.values() if each.offer_id not in self.hidden]
        return [self._processed(each) for each in sorted(shown, key=lambda each: (each.source, each.name))]

    def standing(self, input: Input) -> tuple[str, list[dict[str, Any]]]:
        """(approved, disapproved or pending; issues) of a product now."""
        if (self.now() - input.changed_at).total_seconds() < self.review_s:
            return "pending", []
        if input.offer_id in self.verdicts:
            return self.verdicts[input.offer_id]
        found = issues_of(input.attributes, input.label)
        return ("disapproved" if found else "approved"), found

    def _processed(self, input: Input) -> dict[str, Any]:
        standing, issues = self.standing(input)
        places = [{"reportingContext": c, f"{standing}Countries": [input.label]} for c in CONTEXTS]
        return {
            "name": f"{self.path}/products/{input.name}",
            "offerId": input.offer_id,
            "contentLanguage": input.language,
            "feedLabel": input.label,
            "dataSource": input.source,
            "productAttributes": dict(input.attributes),
            "productStatus": {
                "destinationStatuses": places,
                "itemLevelIssues": issues,
                "creationDate": input.inserted_at.isoformat(),
                "lastUpdateDate": input.changed_at.isoformat(),
            },
        }

    def _forget(self) -> None:
        now = self.now()
        self.inputs = {place: each for place, each in self.inputs.items() if now - each.inserted_at < INPUT_LIFE}


def small_image(country: str = "US") -> dict[str, Any]:
    """The issue of an image that is too small."""
    return issue("image_link_too_small", "n:image_link", "DISAPPROVED", country, "Image too small [image link]")
