"""Which Redis a tenant uses, and with what token.

    tenant_api_credentials   service_name 'upstash_redis', active: metadata.restUrl and the encrypted REST token
    the platform's own       KV_REST_API_URL with KV_REST_API_TOKEN, else UPSTASH_REDIS_REST_URL with
                             UPSTASH_REDIS_REST_TOKEN; half a pair is none

A tenant's URL is somebody else's word: https only, and a host of Upstash, the platform's own, or one that the
installation allows by REDIS_ALLOWED_HOSTS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.integrations.credentials import decrypt
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent

SERVICE = "upstash_redis"
VENDOR_DOMAIN = ".upstash.io"
PLATFORM_PAIRS = (
    ("KV_REST_API_URL", "KV_REST_API_TOKEN"),
    ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"),
)
SETTING_BASE_URL = "UPSTASH_BASE_URL"
"""Replaces every URL: the fake of a developer's machine and of tests."""
SETTING_ALLOWED_HOSTS = "REDIS_ALLOWED_HOSTS"
"""Names, separated by commas."""

CREDENTIAL = """
-- redis: the tenant's own Redis
SELECT api_key_encrypted, metadata ->> 'restUrl' AS rest_url
FROM tenant_api_credentials
WHERE service_name = %(service)s AND is_active
ORDER BY updated_at DESC, id
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a Redis answers. `url` has no slash at its end."""

    url: str
    token: str = field(repr=False)


def access_of(ctx: JobContext) -> Access | None:
    """The Redis of the run's tenant, None when there is none at all.

    Raises Permanent REDIS_URL_REFUSED (a tenant's URL that leads elsewhere) and CREDENTIAL_UNREADABLE.
    """
    with ctx.tenant_session(read_only=True) as session:
        row = session.one(CREDENTIAL, {"service": SERVICE})
    platform = _platform(ctx)
    if row is not None:
        url = _checked(ctx, row["rest_url"] or "", platform)
        found = Access(url, decrypt(ctx, row["api_key_encrypted"]))
    elif platform is not None:
        found = platform
    else:
        return None
    base = ctx.setting(SETTING_BASE_URL)
    return Access(base.rstrip("/"), found.token) if base else found


def _platform(ctx: JobContext) -> Access | None:
    for url_name, token_name in PLATFORM_PAIRS:
        url, token = ctx.setting(url_name), ctx.setting(token_name) or _secret(ctx, token_name)
        if url and token:
            return Access(url.rstrip("/"), token)
    return None


def _secret(ctx: JobContext, name: str) -> str | None:
    try:
        return ctx.secret(name)
    except Permanent:
        return None


def _checked(ctx: JobContext, url: str, platform: Access | None) -> str:
    """The tenant's URL without what comes behind the host."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise Permanent("REDIS_URL_REFUSED", "the REST URL cannot be read") from None
    allowed = {each.strip().lower() for each in (ctx.setting(SETTING_ALLOWED_HOSTS) or "").split(",")} - {""}
    if platform is not None:
        allowed.add((urlsplit(platform.url).hostname or "").lower())
    if parts.scheme != "https" or parts.username is not None or not (host.endswith(VENDOR_DOMAIN) or host in allowed):
        raise Permanent("REDIS_URL_REFUSED", "the REST URL must be https and a host of Upstash or an allowed one")
    return f"https://{host}{f':{port}' if port else ''}"
