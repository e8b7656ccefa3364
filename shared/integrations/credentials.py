"""The tenants' credentials: encrypted columns of the platform's tables, read in one short session, decrypted here.

Secrets live in fields without a repr and never reach a log, an error or a result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, UNREADABLE, decrypt_platform
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\.myshopify\.com")

SELECT_SHOPIFY_CONNECTION = """
-- credentials: the tenant's active Shopify connection; the newest, should there be several shops
SELECT id, shop, access_token_encrypted, scopes, store_timezone, default_country
FROM shopify_connections
WHERE tenant_id = %(organization_id)s AND status = 'active' AND access_token_encrypted IS NOT NULL
ORDER BY installed_at DESC NULLS LAST, id
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class ShopifyConnection:
    """An active connection. `shop` is the checked host `<name>.myshopify.com`."""

    id: str
    shop: str
    scopes: frozenset[str]
    store_timezone: str
    """IANA name."""
    default_country: str | None
    """ISO 3166-1 alpha-2."""
    access_token: str = field(repr=False)
    sealed_token: str = field(repr=False)
    """The column's text: tells whether a refused token is still the one that is stored."""


def decrypt(ctx: JobContext, text: str) -> str:
    """Plain text of an encrypted column; while the master key is changed, of either key.

    Raises Permanent CREDENTIAL_UNREADABLE.
    """
    try:
        return decrypt_platform(text, ctx.secret(MASTER_KEY))
    except Permanent as error:
        if error.code != UNREADABLE or (previous := _previous_key(ctx)) is None:
            raise
    return decrypt_platform(text, previous)


def _previous_key(ctx: JobContext) -> str | None:
    try:
        return ctx.secret(PREVIOUS_KEY)
    except Permanent:
        return None


def shopify_connection(ctx: JobContext) -> ShopifyConnection:
    """The tenant's active Shopify connection.

    Raises Permanent SHOPIFY_NOT_CONNECTED (no active row, no token, or a host that is no shop's: the token must not
    be sent elsewhere) and CREDENTIAL_UNREADABLE.
    """
    with ctx.tenant_session(read_only=True) as session:
        row = session.one(SELECT_SHOPIFY_CONNECTION, {"organization_id": ctx.tenant.organization_id})
    if row is None:
        raise Permanent("SHOPIFY_NOT_CONNECTED", "the tenant has no active Shopify connection")
    shop = row["shop"].strip().lower()
    if not _SHOP.fullmatch(shop):
        raise Permanent("SHOPIFY_NOT_CONNECTED", "the connection's shop is no <name>.myshopify.com")
    return ShopifyConnection(
        id=str(row["id"]),
        shop=shop,
        scopes=_scopes(row["scopes"]),
        store_timezone=row["store_timezone"] or "America/New_York",  # the column's own default
        default_country=row["default_country"],
        access_token=decrypt(ctx, row["access_token_encrypted"]),
        sealed_token=row["access_token_encrypted"],
    )


def _scopes(column: list[str] | None) -> frozenset[str]:
    """Scopes as a set; a write scope includes reading. Some rows hold one comma-separated text in the array."""
    granted = {scope.strip() for text in column or () for scope in text.split(",") if scope.strip()}
    return frozenset(granted | {"read_" + scope[6:] for scope in granted if scope.startswith("write_")})
