"""The workspaces, their channels and messages, and how the fake answers a call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.fakes import serving
from shared.fakes.slack.rules import against_contract, block_problems

MAX_TEXT = 40_000
MAX_ATTACHMENTS = 100
KINDS = ("timeout", "cut")
"""Faults of the network; all others are an HTTP status (429, 503) or a word of Slack's (channel_not_found)."""
METHODS = ("chat.postMessage", "conversations.join", "auth.test")
MESSAGE_FIELDS = frozenset(
    (
        "as_user",
        "attachments",
        "blocks",
        "channel",
        "icon_emoji",
        "icon_url",
        "link_names",
        "mrkdwn",
        "parse",
        "reply_broadcast",
        "text",
        "thread_ts",
        "unfurl_links",
        "unfurl_media",
        "username",
    )
)


@dataclass
class Channel:
    """A channel of a workspace. `member`: whether the bot is in it."""

    id: str
    name: str
    member: bool = True
    archived: bool = False


@dataclass(frozen=True)
class Posted:
    """A message as it stands in its channel."""

    team: str
    channel: str
    ts: str
    text: str
    thread_ts: str | None
    blocks: list[dict[str, Any]]
    attachments: list[dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """One request: which method, how it was answered, and what was wrong with it."""

    method: str
    status: int
    answer: str
    problems: tuple[str, ...] = ()


@dataclass
class Team:
    """A workspace and its bot's token. `opens`: a channel that nobody made is made when it is named."""

    id: str
    token: str
    name: str = "Fake"
    opens: bool = False
    refusal: str | None = None
    """Word with which every call of this token is refused: token_revoked, account_inactive."""
    channels: dict[str, Channel] = field(default_factory=dict)

    def channel(self, id: str, name: str = "", *, member: bool = True, archived: bool = False) -> Channel:
        """Make a channel."""
        self.channels[id] = Channel(id, name or id.lower(), member, archived)
        return self.channels[id]

    def find(self, reference: str) -> Channel | None:
        """By id or #name."""
        wanted = reference.removeprefix("#")
        found = next((c for c in self.channels.values() if reference == c.id or wanted == c.name), None)
        if found is None and self.opens:
            id = reference if re.fullmatch(r"[CDG][A-Z0-9]{2,}", reference) else f"C{len(self.channels):08d}"
            return self.channel(id, wanted)
        return found


class SlackFake(serving.Fake[serving.Fault]):
    """A running fake. Use `SlackFake.start(...)`, and `stop()` or a with-block."""

    def __init__(self, contract: Mapping[str, Any] | None, now: Callable[[], datetime]) -> None:
        super().__init__()
        self.contract, self.now = contract, now
        self.teams: dict[str, Team] = {}
        self.hooks: dict[str, tuple[str, str]] = {}
        self.messages: list[Posted] = []
        self.asked: list[Asked] = []
        self._posts = 0

    @classmethod
    def start(
        cls, *, port: int = 0, contract: Path | None = None, now: Callable[[], datetime] | None = None
    ) -> SlackFake:
        """Serve on 127.0.0.1 (port 0: any free one). `contract`: Slack's OpenAPI 2 file. Raises OSError."""
        from shared.fakes.slack.server import Handler

        rules = json.loads(contract.read_text(encoding="utf-8")) if contract else None
        fake = cls(rules, now or (lambda: datetime.now(UTC)))
        return fake.serve(port, Handler)

    def team(self, token: str, *, channels: Iterable[str] = (), opens: bool = False) -> Team:
        """Make a workspace that knows `token`, with the named channel ids."""
        team = self.teams[token] = Team(f"T{len(self.teams):08d}", token, opens=opens)
        for id in channels:
            team.channel(id)
        return team

    def hook(self, path: str, token: str, channel: str) -> str:
        """Make an incoming webhook; the address as Slack would give it out."""
        self.hooks[f"/services/{path}"] = (token, channel)
        return f"https://hooks.slack.com/services/{path}"

    def posted(self, channel: str | None = None) -> list[Posted]:
        """The messages of a channel, of all; oldest first."""
        return [message for message in self.messages if channel in (None, message.channel)]

    def problems(self) -> list[str]:
        """Everything that any request did against the rules or the contract."""
        return [f"{asked.method}: {problem}" for asked in self.asked for problem in asked.problems]

    # Inside.

    def answer(self, method: str, token: str | None, fields: Mapping[str, Any], *, form: bool) -> dict[str, Any]:
        """Slack's answer to a call: a refusal by its word, or what the method gives."""
        team = self.teams.get(token or "")
        if token is None:
            return refuse("not_authed")
        if team is None:
            return refuse("invalid_auth")
        if team.refusal is not None:
            return refuse(team.refusal)
        if method not in METHODS:
            return refuse("unknown_method")
        problems = self._judge(method, fields, form=form)
        if problems:
            return {**refuse("invalid_arguments"), "response_metadata": {"messages": problems}}
        if method == "auth.test":
            who = {"url": "https://fake.slack.com/", "team": team.name, "user": "cgk", "user_id": "U00000001"}
            return {"ok": True, **who, "team_id": team.id}
        channel = team.find(str(fields.get("channel", "")))
        if channel is None:
            return refuse("channel_not_found")
        if channel.archived:
            return refuse("is_archived")
        if method == "conversations.join":
            channel.member = True
            return {"ok": True, "channel": {"id": channel.id, "name": channel.name, "is_channel": True}}
        return self._post(team, channel, fields)

    def _judge(self, method: str, fields: Mapping[str, Any], *, form: bool) -> list[str]:
        problems = []
        if self.contract is not None:
            problems += against_contract(self.contract, method, fields, form=form)
        elif method == "chat.postMessage":
            problems += [f"{name}: no such argument" for name in fields if name not in MESSAGE_FIELDS]
            problems += [] if fields.get("channel") else ["channel: required"]
        return problems

    def _post(self, team: Team, channel: Channel, fields: Mapping[str, Any]) -> dict[str, Any]:
        if not channel.member:
            return refuse("not_in_channel")
        text = str(fields.get("text") or "")
        try:
            blocks, attachments = _listed(fields.get("blocks")), _listed(fields.get("attachments"))
        except ValueError:
            return refuse("invalid_blocks_format")
        if not (text or blocks or attachments):
            return refuse("no_text")
        if len(text) > MAX_TEXT:
            return refuse("msg_too_long")
        if len(attachments) > MAX_ATTACHMENTS:
            return refuse("too_many_attachments")
        inside = [block for each in attachments for block in each.get("blocks", [])]
        if problems := [*block_problems(blocks), *block_problems(inside)]:
            return {**refuse("invalid_blocks"), "response_metadata": {"messages": problems}}
        message = self._keep(team, channel, text, fields.get("thread_ts"), blocks, attachments)
        shown = {"type": "message", "text": text, "ts": message.ts, "user": "U00000001", "team": team.id}
        if message.thread_ts:
            shown["thread_ts"] = message.thread_ts
        return {"ok": True, "channel": channel.id, "ts": message.ts, "message": shown}

    def _keep(
        self,
        team: Team,
        channel: Channel,
        text: str,
        thread_ts: Any,
        blocks: list[dict[str, Any]],
        attachments: list[dict[str, Any]],
    ) -> Posted:
        with self.lock:
            self._posts += 1
            ts = f"{int(self.now().timestamp())}.{self._posts:06d}"
            thread = str(thread_ts) if thread_ts else None
            message = Posted(team.id, channel.id, ts, text, thread, blocks, attachments)
            self.messages.append(message)
        return message

    def answer_hook(self, path: str, body: Any) -> tuple[int, str]:
        """An incoming webhook's answer: status and word."""
        known = self.hooks.get(path)
        if known is None:
            return 404, "no_service"
        if not isinstance(body, dict) or not (body.get("text") or body.get("blocks")):
            return 400, "invalid_payload"
        team, channel_id = self.teams[known[0]], known[1]
        channel = team.find(channel_id)
        if channel is None or channel.archived:
            return (404, "channel_not_found") if channel is None else (410, "channel_is_archived")
        blocks = body.get("blocks") or []
        if block_problems(blocks):
            return 400, "invalid_blocks"
        self._keep(team, channel, str(body.get("text") or ""), None, blocks, [])
        return 200, "ok"


def refuse(word: str) -> dict[str, Any]:
    """A refusal as Slack words it."""
    return {"ok": False, "error": word}


def _listed(value: Any) -> list[dict[str, Any]]:
    """A list of objects, from JSON text (a form) or as it is; ValueError for anything else."""
    if value in (None, ""):
        return []
    made = json.loads(value) if isinstance(value, str) else value
    if not isinstance(made, list) or not all(isinstance(each, dict) for each in made):
        raise ValueError("not a list of objects")
    return made
