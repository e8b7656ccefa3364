"""Google's verdict on an offer, read from the processed product of Merchant API v1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

CONTEXTS = ("SHOPPING_ADS", "FREE_LISTINGS")
"""Where our offers are shown; other places do not count."""
SEVERITIES = {"DISAPPROVED": "critical", "DEMOTED": "warning", "NOT_IMPACTED": "info"}
IMAGE = "image_link"

Standing = Literal["pending", "approved", "disapproved", "warning"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an offer stands. `issues` as merchant_issues keeps them."""

    offer_id: str
    status: Standing
    issues: tuple[Mapping[str, Any], ...]

    @property
    def image_issues(self) -> list[Mapping[str, Any]]:
        """What Google says of its first image."""
        return [issue for issue in self.issues if issue["attribute"] == IMAGE]

    @property
    def small_image(self) -> bool:
        """Whether Google finds the image too small."""
        return any("small" in f"{i['code']} {i['description']}".lower() for i in self.image_issues)


def verdict(product: Mapping[str, Any], country: str) -> Verdict:
    """The verdict on a processed product for a country.

    Disapproved for the country in one of the two places: disapproved. Else pending in one: pending. Else approved, with
    a warning when an issue that lowers or accompanies the offer applies to the country.
    """
    status = product.get("productStatus") or {}
    places = [d for d in status.get("destinationStatuses") or () if d.get("reportingContext") in CONTEXTS]
    found = [_issue(each) for each in status.get("itemLevelIssues") or () if _applies(each, country)]
    standing: Standing = "approved"
    if any(country in (place.get("disapprovedCountries") or ()) for place in places):
        standing = "disapproved"
    elif not places or any(country in (place.get("pendingCountries") or ()) for place in places):
        standing = "pending"
    elif any(issue["severity"] in ("warning", "info") for issue in found):
        standing = "warning"
    return Verdict(str(product.get("offerId") or ""), standing, tuple(found))


def verdicts(products: Iterable[Mapping[str, Any]], *, data_source: str, language: str, label: str) -> list[Verdict]:
    """Verdicts on those of a page that came from our data source, of the feed's language and label."""
    return [
        verdict(product, label)
        for product in products
        if product.get("dataSource") == data_source
        and product.get("contentLanguage") == language
        and product.get("feedLabel") == label
    ]


def _applies(issue: Mapping[str, Any], country: str) -> bool:
    """Issues that name no country apply everywhere, and so do those that name no place."""
    countries, context = issue.get("applicableCountries") or (), issue.get("reportingContext")
    return (not countries or country in countries) and (context is None or context in CONTEXTS)


def _issue(issue: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "severity": SEVERITIES.get(str(issue.get("severity")), "info"),
        "attribute": _attribute(str(issue.get("attribute") or "")),
        "code": str(issue.get("code") or ""),
        "description": str(issue.get("description") or ""),
        "detail": str(issue.get("detail") or ""),
        "documentation": str(issue.get("documentation") or ""),
        "resolution": str(issue.get("resolution") or ""),
    }


def _attribute(name: str) -> str:
    """Google writes "n:image_link", "image link" and "image_link"; we the last."""
    return name.removeprefix("n:").strip().lower().replace(" ", "_")
