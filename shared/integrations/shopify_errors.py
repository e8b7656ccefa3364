"""What Shopify's answers say went wrong, as our errors. HTTP 200 carries most of them, in `errors`."""

from __future__ import annotations

from typing import Any

from shared.jobs.errors import Permanent, Transient


class QueryTooCostly(Permanent):
    """A single query above the shop's limit (1,000 points)."""


class AccessDenied(Permanent):
    """Fields for which the shop has not granted the scope."""

    def __init__(self, fields: frozenset[str]) -> None:
        super().__init__("SHOPIFY_SCOPE_MISSING", f"access denied to {', '.join(sorted(fields)) or 'the query'}")
        self.fields = fields


class BulkUrlGone(Transient):
    """The file of a bulk operation has expired (after 7 days) or was never there: export again."""


class Throttled(Exception):
    """The budget is used up; handled inside `graphql`."""


def query_error(errors: Any) -> Exception:
    """The gravest of an answer's errors as ours. Messages are left out: they repeat what was asked."""
    listed = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    codes = {str((e.get("extensions") or {}).get("code") or "") for e in listed}
    if "THROTTLED" in codes:
        return Throttled()
    if "MAX_COST_EXCEEDED" in codes:
        return QueryTooCostly("SHOPIFY_QUERY_TOO_COSTLY", "above the limit of a single query")
    if "ACCESS_DENIED" in codes:
        denied = [e for e in listed if (e.get("extensions") or {}).get("code") == "ACCESS_DENIED"]
        return AccessDenied(frozenset(_denied_field(e) for e in denied))
    if "INTERNAL_SERVER_ERROR" in codes:
        return Transient("SHOPIFY_UNAVAILABLE", "INTERNAL_SERVER_ERROR")
    if "SHOP_INACTIVE" in codes:
        return Permanent("SHOPIFY_SHOP_FROZEN", "SHOP_INACTIVE")
    return Permanent("SHOPIFY_QUERY_REFUSED", ", ".join(sorted(filter(None, codes))) or "without a code")


def _denied_field(error: dict[str, Any]) -> str:
    """Name of the field, the last one in the error's path; the path of a list holds numbers, too."""
    names = [part for part in error.get("path") or () if isinstance(part, str)]
    return names[-1] if names else "?"
