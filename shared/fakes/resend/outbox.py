"""The outbox as a page: what was sent, newest first, and one mail as its reader sees it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shared.fakes.resend.fake import Mail

SHOWN = 500
"""Mails on the page at most."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1f2933; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #d9e2ec; vertical-align: top; }
th { font-weight: 600; } td.when { white-space: nowrap; color: #52606d; }
.mail { border: 1px solid #d9e2ec; padding: 1rem; } pre { white-space: pre-wrap; background: #f5f7fa; padding: 1rem; }
"""


def outbox_page(mails: Sequence[Mail]) -> str:
    """The list."""
    rows = "\n".join(_row(mail) for mail in reversed(mails[-SHOWN:]))
    head = "<tr><th>When (UTC)</th><th>From</th><th>To</th><th>Subject</th><th>Category</th></tr>"
    table = f"<table>{head}\n{rows}</table>" if mails else "<p>Nothing was sent yet.</p>"
    return _page(f"Outbox: {len(mails)} mails", table)


def _row(mail: Mail) -> str:
    link = f'<a href="/outbox/{escape(mail.id)}">{escape(mail.body["subject"])}</a>'
    cells = [escape(mail.body["from"]), escape(", ".join(mail.to)), link, escape(mail.tags.get("category", ""))]
    when = f'<td class="when">{mail.sent_at:%Y-%m-%d %H:%M:%S}</td>'
    return f"<tr>{when}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def mail_page(mail: Mail) -> str:
    """One mail: its headers, its HTML and its text."""
    body = mail.body
    facts = {
        "From": body["from"],
        "To": ", ".join(mail.to),
        "Reply to": body.get("reply_to") or "",
        "Sent": f"{mail.sent_at:%Y-%m-%d %H:%M:%S} UTC",
        "Tags": ", ".join(f"{name}={value}" for name, value in mail.tags.items()),
        **body.get("headers", {}),
    }
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    parts = f'<div class="mail">{body.get("html", "")}</div><h2>Text</h2><pre>{escape(body.get("text", ""))}</pre>'
    return _page(body["subject"], f'<p><a href="/">Outbox</a></p><table>{rows}</table><h2>Mail</h2>{parts}')


def _page(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>"
