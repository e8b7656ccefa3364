"""Unsubscribing by one click: the address of the page, the headers of RFC 8058, the footer.

It carries a signed token {t: tenant, a: hash of the mail's address, c: category, r: recipient's id}, so that no mail
address stands in it. The application's page verifies it (shared.tokens, MAIL_UNSUBSCRIBE), writes the suppression of
that category and publishes creator.email.cancel.
"""

from __future__ import annotations

import html
from datetime import datetime
from urllib.parse import urlsplit

from shared.crypto import Keyring
from shared.mail.rendering import Rendered
from shared.tokens import MAIL_UNSUBSCRIBE, sign_token

FOOTER_HTML = '<p style="font-size:12px;color:#666666"><a href="{url}">Unsubscribe</a> from these mails.</p>'
FOOTER_TEXT = "Unsubscribe from these mails: {url}"


def page(setting: str | None, portal_url: str) -> str | None:
    """The page that unsubscribes: the tenant's setting, else the portal's; None when neither is an http(s) address."""
    address = (setting or "").strip() or (f"{portal_url.rstrip('/')}/unsubscribe" if portal_url else "")
    parts = urlsplit(address)
    return address if parts.scheme in ("http", "https") and parts.hostname else None


def unsubscribe_url(
    keyring: Keyring,
    page: str,
    *,
    tenant: str,
    address_hash: str,
    category: str,
    recipient_id: str | None,
    now: datetime,
) -> str:
    """The address with its token. The token never ends: the link works as long as the mail is kept."""
    payload = {"t": tenant, "a": address_hash, "c": category, "r": recipient_id}
    token = sign_token(keyring, MAIL_UNSUBSCRIBE, payload, now=now)
    before, mark, fragment = page.partition("#")
    return f"{before}{'&' if '?' in before else '?'}t={token}{mark}{fragment}"


def headers(url: str) -> dict[str, str]:
    """The headers of one-click unsubscription; it must be https."""
    if not url.startswith("https://"):
        return {}
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def with_footer(mail: Rendered, url: str) -> Rendered:
    """The mail with a link at its end, in each part that does not hold the address already."""
    shown = html.escape(url, quote=True)
    body, text = mail.html, mail.text
    if shown not in body and url not in body:
        body = _before_end(body, FOOTER_HTML.format(url=shown))
    if url not in text:
        text = f"{text.rstrip()}\n\n{FOOTER_TEXT.format(url=url)}\n"
    return Rendered(mail.subject, body, text)


def _before_end(body: str, footer: str) -> str:
    """Inside <body> when the mail is a whole document, else after it."""
    end = body.lower().rfind("</body>")
    return f"{body}\n{footer}" if end < 0 else f"{body[:end]}{footer}\n{body[end:]}"
