"""Renders a template: variables and optional parts, nothing else.

    {{name}}                 the value; looked up as it is written, then camelCase for snake_case and the reverse
    {{#name}} .. {{/name}}   kept when the value is there, not empty and not false; parts of other names may be inside

There is no raw insertion and no code. In HTML every value is escaped; a variable whose name ends in Url or _url is an
http(s) address or `#`. Whatever of the marks is left over (unknown names, an end without a beginning) is removed: no
placeholder reaches a reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from shared.jobs.errors import Permanent
from shared.mail.values import Value, as_text

SUBJECT_MAX = 998
"""Characters of a subject, RFC 5322 2.1.1."""

_MARK = re.compile(r"\{\{\s*([#/]?)\s*([A-Za-z0-9_.-]+)\s*\}\}")
_LEFT_OVER = re.compile(r"\{\{[^{}]*\}\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
_URL_NAME = re.compile(r"(Url|_url|^url)$")
_HTTP = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


class RenderMissingVariable(Permanent):
    """A required variable is missing; the detail names it."""

    def __init__(self, name: str) -> None:
        super().__init__("RENDER_MISSING_VARIABLE", name)


@dataclass(frozen=True, slots=True)
class Texts:
    """A template's or a mail's three texts; `text` None: derived from the HTML."""

    subject: str
    html: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A mail's finished texts."""

    subject: str
    html: str
    text: str


def render(texts: Texts, variables: Mapping[str, Value], zone: ZoneInfo) -> Rendered:
    """The template's texts with the variables in their places."""
    scope = Scope(variables, zone)
    html = fill(texts.html, scope, html=True)
    own_text = (texts.text or "").strip()
    text = fill(own_text, scope, html=False) if own_text else text_of(html)
    return Rendered(one_line(fill(texts.subject, scope, html=False)), html, text)


def check_required(names: Iterable[str], variables: Mapping[str, Value]) -> None:
    """Raises RenderMissingVariable for the first of `names` that has no value."""
    for name in names:
        value = find(variables, name)
        if value is None or value == "":
            raise RenderMissingVariable(name)


def one_line(text: str) -> str:
    """A subject: control characters and line breaks removed, at most SUBJECT_MAX characters."""
    return _CONTROL.sub("", text).strip()[:SUBJECT_MAX]


class Scope:
    """Variables by any spelling of their names."""

    def __init__(self, variables: Mapping[str, Value], zone: ZoneInfo) -> None:
        self._variables, self._zone = variables, zone

    def value(self, name: str) -> Value:
        return find(self._variables, name)

    def text(self, name: str) -> str:
        shown = as_text(self.value(name), self._zone)
        if _URL_NAME.search(name) and shown and not _HTTP.fullmatch(shown):
            return "#"
        return shown


def find(variables: Mapping[str, Value], name: str) -> Value:
    """The value by its name as it is, in camelCase or in snake_case; None when absent."""
    for spelling in (name, _camel(name), _snake(name)):
        if spelling in variables:
            return variables[spelling]
    return None


def _camel(name: str) -> str:
    return re.sub(r"_+([A-Za-z0-9])", lambda match: match[1].upper(), name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def fill(template: str, scope: Scope, *, html: bool) -> str:
    """The template with its marks replaced; values are put in once and never read as template again."""
    parts: list[str] = []
    position = 0
    while position < len(template):
        mark = _MARK.search(template, position)
        if mark is None:
            break
        parts.append(_LEFT_OVER.sub("", template[position : mark.start()]))
        kind, name = mark[1], mark[2]
        position = mark.end()
        if kind == "#":
            end = _end_of(template, name, position)
            if end is not None:
                if _is_there(scope.value(name)):
                    parts.append(fill(template[position : end.start()], scope, html=html))
                position = end.end()
        elif not kind:
            value = scope.text(name)
            parts.append(escape(value, quote=True).replace("&#x27;", "&#39;") if html else value)
    parts.append(_LEFT_OVER.sub("", template[position:]))
    return "".join(parts)


def _end_of(template: str, name: str, position: int) -> re.Match[str] | None:
    for mark in _MARK.finditer(template, position):
        if mark[1] == "/" and mark[2] == name:
            return mark
    return None


def _is_there(value: Value) -> bool:
    """Present, not empty and not false; 0 is a value."""
    return value is not None and value is not False and value != "" and value != [] and value != ()


# -- plain text ------------------------------------------------------------------------------------------------------

_BLOCKS = re.compile(
    r"address|article|blockquote|div|dl|dt|dd|footer|form|h[1-6]|header|hr|main|ol|p|pre|section|table|tr|ul"
)
_HIDDEN = frozenset(("style", "script", "head", "title", "template"))


def text_of(html: str) -> str:
    """The plain text of a mail: links as `text (url)`, list items with `- `, at most one empty line in a row."""
    reader = _TextReader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._hidden = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag == "li":
            self._parts.append("\n- ")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self._parts)))
        elif _BLOCKS.fullmatch(tag):
            self._parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "a" and self._links:
            url, start = self._links.pop()
            shown = "".join(self._parts[start:]).strip()
            if url and url != "#" and shown != url:
                self._parts.append(f" ({url})" if shown else url)
        elif _BLOCKS.fullmatch(tag):
            self._parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        lines = [re.sub(r"[ \t]+", " ", line).strip() for line in "".join(self._parts).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
