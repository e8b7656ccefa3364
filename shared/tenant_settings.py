"""What a tenant has set: values of tenant_config, and the currency that its figures are shown in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.jobs.context import Session

DEFAULT_CURRENCY = "USD"

CONFIG = """
-- tenant_settings: one value of tenant_config
SELECT value FROM tenant_config WHERE key = %(key)s
"""

CURRENCIES = """
-- tenant_settings: where the base currency may be set, the most trusted first
SELECT
    (SELECT o.settings ->> 'currency'
       FROM public.organizations o
      WHERE o.id = current_setting('cgk.tenant_id')::uuid) AS organization,
    (SELECT a.default_currency FROM analytics_settings a ORDER BY a.created_at LIMIT 1) AS analytics,
    (SELECT c.store_currency
       FROM shopify_connections c
      WHERE c.status = 'active'
      ORDER BY c.installed_at DESC NULLS LAST LIMIT 1) AS shop
"""


def config(session: Session, key: str, default: Any) -> Any:
    """The value under `key`, `default` when there is none.

    A dict of defaults is completed, not replaced: members that the tenant did not set keep their default.
    """
    value = session.value(CONFIG, {"key": key})
    if isinstance(default, dict) and isinstance(value, dict):
        return {**default, **{name: member for name, member in value.items() if member is not None}}
    return default if value is None else value


def base_currency(session: Session) -> str:
    """The tenant's base currency, upper-case ISO 4217: organization, analytics settings, shop, else USD."""
    row = session.one(CURRENCIES) or {}
    for source in ("organization", "analytics", "shop"):
        code = (row.get(source) or "").strip().upper()
        if len(code) == 3 and code.isascii() and code.isalpha():
            return code
    return DEFAULT_CURRENCY
