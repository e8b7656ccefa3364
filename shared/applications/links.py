"""Addresses in the admin app and in the creators' portal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from shared.jobs.context import JobContext, Session
from shared.mail.variables import PORTAL_CONFIG, PORTAL_SETTING
from shared.tenant_settings import config

ADMIN_SETTING = "ADMIN_URL"


def portal_url(ctx: JobContext, session: Session) -> str:
    """The tenant's portal, else the installation's; '' when neither is set. Without a slash at its end."""
    value = config(session, PORTAL_CONFIG, {"url": ctx.setting(PORTAL_SETTING) or ""})
    url = value.get("url") if isinstance(value, dict) else value
    return str(url or "").rstrip("/")


def admin_url(ctx: JobContext) -> str:
    """The admin app; '' when it is not set."""
    return (ctx.setting(ADMIN_SETTING) or "").rstrip("/")


def application_url(admin: str, application_id: str) -> str:
    """The application's page in the admin app."""
    return f"{admin}/admin/creators/applications?{urlencode({'application': application_id})}"


def admin_page(admin: str, creator_id: str, metadata: Mapping[str, Any]) -> tuple[str, str]:
    """Label and address of the page that a notice leads to."""
    if project := metadata.get("projectId"):
        return "Open project", f"{admin}/admin/creators/projects/{quote(str(project), safe='')}"
    if document := metadata.get("documentId"):
        return "Open document", f"{admin}/admin/esign/documents/{quote(str(document), safe='')}"
    application = metadata.get("applicationId") or (
        creator_id.removeprefix("application:") if creator_id.startswith("application:") else None
    )
    if application:
        return "Review", application_url(admin, str(application))
    return "Open creator", f"{admin}/admin/creators/{quote(creator_id, safe='')}"


def login_url(portal: str, token: str, email: str) -> str:
    """The address of a log-in link."""
    return f"{portal}/auth/verify?{urlencode({'token': token, 'email': email})}"
