"""Slack's own spelling of texts (mrkdwn): docs.slack.dev/messaging/formatting-message-text."""

from __future__ import annotations

import re

_SPECIAL = ("here", "channel", "everyone")


def escape(text: str) -> str:
    """Text as mrkdwn: the three characters that Slack reads as control characters become entities.

    >>> escape("A <b> & co")
    'A &lt;b&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mention(who: str | None) -> str:
    """The mention of `who`: here, channel, everyone, a user id (U.., W..) or a group id (S..); '' for anything else.

    >>> mention("here"), mention("U024BE7LH"), mention("S0614TZR7")
    ('<!here>', '<@U024BE7LH>', '<!subteam^S0614TZR7>')
    """
    name = (who or "").strip().strip("<>").lstrip("@!")
    if name.lower() in _SPECIAL:
        return f"<!{name.lower()}>"
    if re.fullmatch(r"[UW][A-Z0-9]{2,}", name):
        return f"<@{name}>"
    if re.fullmatch(r"S[A-Z0-9]{2,}", name):
        return f"<!subteam^{name}>"
    return ""
