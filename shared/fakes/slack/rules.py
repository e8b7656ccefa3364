"""What Slack asks of a request: its own contract where one is given, and the rules of Block Kit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MAX_BLOCKS = 50


def against_contract(contract: Mapping[str, Any], method: str, fields: Mapping[str, Any], *, form: bool) -> list[str]:
    """What is wrong with the arguments by Slack's OpenAPI 2 file. JSON bodies may hold lists where a form has text."""
    path = contract["paths"].get(f"/{method}")
    if path is None:
        return [f"{method}: no such method in the contract"]
    operation = path.get("post") or path.get("get")
    known = {each["name"]: each for each in operation.get("parameters", []) if each["in"] in ("formData", "query")}
    problems = [f"{name}: no such argument" for name in fields if name not in known]
    for name, parameter in known.items():
        if name not in fields:
            problems += [f"{name}: required"] if parameter.get("required") else []
        elif not _fits(fields[name], parameter.get("type", "string"), form=form):
            problems.append(f"{name}: not a {parameter.get('type')}")
    return problems


def _fits(value: Any, kind: str, *, form: bool) -> bool:
    if form:
        text = str(value)
        return {"boolean": text in ("true", "false", "1", "0"), "integer": text.lstrip("-").isdigit()}.get(kind, True)
    types: dict[str, tuple[type, ...]] = {"boolean": (bool,), "integer": (int,), "string": (str, list)}
    return isinstance(value, types.get(kind, (object,)))


def block_problems(blocks: list[dict[str, Any]]) -> list[str]:
    """What is wrong with Block Kit blocks: kinds, required members, lengths (docs.slack.dev/reference/block-kit)."""
    problems = [f"{len(blocks)} blocks, at most {MAX_BLOCKS}"] if len(blocks) > MAX_BLOCKS else []
    for block in blocks:
        check = _BLOCKS.get(str(block.get("type")))
        problems += check(block) if check else ["unknown block type"]
    return problems


def _header(block: dict[str, Any]) -> list[str]:
    return _text("header", block.get("text"), 150, kinds=("plain_text",))


def _section(block: dict[str, Any]) -> list[str]:
    fields = block.get("fields", [])
    problems = [] if "text" in block or fields else ["section: text or fields"]
    if "text" in block:
        problems += _text("section", block["text"], 3000)
    if len(fields) > 10:
        problems.append("section: more than 10 fields")
    return problems + [problem for each in fields for problem in _text("field", each, 2000)]


def _context(block: dict[str, Any]) -> list[str]:
    elements = block.get("elements", [])
    problems = [] if 1 <= len(elements) <= 10 else ["context: 1 to 10 elements"]
    return problems + [p for each in elements if each.get("type") != "image" for p in _text("context", each, 2000)]


def _actions(block: dict[str, Any]) -> list[str]:
    elements = block.get("elements", [])
    problems = [] if 1 <= len(elements) <= 25 else ["actions: 1 to 25 elements"]
    for each in elements:
        if each.get("type") == "button":
            problems += _text("button", each.get("text"), 75, kinds=("plain_text",))
            problems += ["button: url above 3000"] if len(str(each.get("url", ""))) > 3000 else []
    return problems


def _text(where: str, text: Any, most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> list[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        return [f"{where}: text must be {' or '.join(kinds)}"]
    length = len(str(text.get("text", "")))
    return [] if 1 <= length <= most else [f"{where}: {length} characters, 1 to {most} are allowed"]


_BLOCKS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "divider": lambda _: [],
}
