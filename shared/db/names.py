"""Names of schemas and roles, made from checked slugs only."""

from __future__ import annotations

import re

SLUG_MAX_BYTES = 50  # "tenant_" + slug and "cgk_t_" + slug stay below PostgreSQL's 63 bytes with room for suffixes
RESERVED_SLUG = "system"  # the platform itself; never a row of organizations

LEDGER_SCHEMA = "jobs"
PLATFORM_SCHEMA = "public"
TENANTS_ROLE = "cgk_tenants"
PLATFORM_ROLE = "cgk_platform"

_SLUG = re.compile(r"[a-z0-9_]{1,50}")
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class SlugRefused(ValueError):
    """The slug cannot name a tenant here: wrong characters, longer than 50 bytes, or reserved."""


def checked_slug(slug: str) -> str:
    """The slug itself; raises SlugRefused with the reason."""
    if slug == RESERVED_SLUG:
        raise SlugRefused(f"the slug {RESERVED_SLUG!r} is reserved for the platform's own work; choose another one")
    if len(slug.encode()) > SLUG_MAX_BYTES:
        raise SlugRefused(f"a slug of {len(slug.encode())} bytes is refused: at most {SLUG_MAX_BYTES} are allowed")
    if not _SLUG.fullmatch(slug):
        raise SlugRefused(f"the slug {slug!r} is refused: only a-z, 0-9 and _ are allowed")
    return slug


def checked_role(role: str) -> str:
    """A role name that needs no quoting; raises ValueError otherwise."""
    if not _ROLE.fullmatch(role):
        raise ValueError(
            f"the role name {role!r} is refused: only a-z, 0-9 and _ are allowed, at most 63, no digit first"
        )
    return role


def tenant_schema(slug: str) -> str:
    """Schema of a tenant."""
    return f"tenant_{checked_slug(slug)}"


def tenant_role(slug: str) -> str:
    """Role of a tenant."""
    return f"cgk_t_{checked_slug(slug)}"
