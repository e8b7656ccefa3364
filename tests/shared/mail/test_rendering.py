"""Templates, values and the text part: pure functions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.mail.rendering import RenderMissingVariable, Texts, check_required, render, text_of
from shared.mail.values import Money, as_text, money_text, with_amounts
from shared.mail.variables import percent_text

NEW_YORK = ZoneInfo("America/New_York")


def shown(template: str, **variables: Any) -> tuple[str, str]:
    """(HTML, subject) of one template used as both."""
    mail = render(Texts(template, template), variables, NEW_YORK)
    return mail.html, mail.subject


def test_values_are_escaped_in_html_and_not_in_text_and_subject() -> None:
    mail = render(Texts("For {{name}}", "<p>{{name}}</p>", "{{name}}"), {"name": "<b>Ann & Co</b> \"a\" 'b'"}, NEW_YORK)

    assert mail.html == "<p>&lt;b&gt;Ann &amp; Co&lt;/b&gt; &quot;a&quot; &#39;b&#39;</p>"
    assert mail.text == "<b>Ann & Co</b> \"a\" 'b'"
    assert mail.subject == "For <b>Ann & Co</b> \"a\" 'b'"


def test_a_subject_is_one_line_of_at_most_998_characters() -> None:
    assert shown("Hi {{x}}", x="a\r\nBcc: b\x00c\u2028")[1] == "Hi aBcc: bc"
    assert len(shown("{{x}}", x="y" * 2000)[1]) == 998


@pytest.mark.parametrize(
    ("name", "given"),
    [("creatorName", "creatorName"), ("creatorName", "creator_name"), ("creator_name", "creatorName")],
)
def test_names_are_found_in_either_spelling(name: str, given: str) -> None:
    assert shown(f"{{{{ {name} }}}}", **{given: "Ann"})[0] == "Ann"


@pytest.mark.parametrize(
    ("value", "kept"),
    [("x", True), (0, True), (True, True), ([1], True), ("", False), (None, False), (False, False), ([], False)],
    ids=repr,
)
def test_a_part_is_kept_when_its_value_is_there(value: Any, kept: bool) -> None:
    assert shown("a{{#x}}b{{/x}}c", x=value)[0] == ("abc" if kept else "ac")


def test_parts_of_other_names_may_stand_inside() -> None:
    template = "{{#a}}1{{#b}}2{{/b}}3{{/a}}4"

    assert shown(template, a="x", b="y")[0] == "1234"
    assert shown(template, a="x")[0] == "134"
    assert shown(template, b="y")[0] == "4"


@pytest.mark.parametrize("template", ["{{nobody}}", "{{#a}}{{/b}}", "{{/a}}", "{{> raw}}", "{{{x}}}", "{{a b}}"])
def test_no_placeholder_is_left(template: str) -> None:
    html, subject = shown(f"1{template}2")

    assert "{{" not in html + subject
    assert html.startswith("1")
    assert html.endswith("2")


def test_a_value_is_never_read_as_template() -> None:
    assert shown("{{x}}", x="{{y}}", y="secret")[0] == "{{y}}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.test/?b=1&c=2", "https://a.test/?b=1&amp;c=2"),
        ("javascript:alert(1)", "#"),
        ("//a.test", "#"),
        ("https://a.test/\" onclick='x", "#"),
        ("", ""),
    ],
)
def test_addresses_are_http_or_nothing(url: str, expected: str) -> None:
    assert shown("{{loginUrl}}|{{login_url}}", loginUrl=url)[0] == f"{expected}|{expected}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 3, 15), "March 15, 2026"),
        (datetime(2026, 3, 15, 3, 0, tzinfo=UTC), "March 14, 2026"),
        ("2026-03-15", "March 15, 2026"),
        ("2026-03-15T03:00:00Z", "March 14, 2026"),
        ("2026-13-15", "2026-13-15"),
        ("on 2026-03-15", "on 2026-03-15"),
        (["a", "b", 3], "a, b, 3"),
        (12, "12"),
        (Money(125000, "usd"), "$1,250.00"),
        (None, ""),
        ("x" * 10_001, "x" * 10_000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_as_text(value: Any, expected: str) -> None:
    assert as_text(value, NEW_YORK) == expected


@pytest.mark.parametrize(
    ("cents", "currency", "expected"),
    [
        (125000, "USD", "$1,250.00"),
        (120050, "JPY", "¥1,201"),
        (123, "KWD", "KWD 1.230"),
        (-990, "EUR", "-€9.90"),
        (5, "CHF", "CHF 0.05"),
    ],
)
def test_amounts_have_their_currencys_decimals(cents: int, currency: str, expected: str) -> None:
    assert money_text(cents, currency) == expected


def test_amounts_in_cents_give_a_shown_amount() -> None:
    made = with_amounts(
        {"amountCents": 5000, "total_cents": 100, "fee": "none", "feeCents": 3, "currency": "EUR"}, "USD"
    )

    assert (made["amount"], made["total"], made["fee"]) == (Money(5000, "EUR"), Money(100, "EUR"), "none")


def test_percentages_lose_their_zeros() -> None:
    assert [percent_text(value) for value in ("10.00", "12.50", "100.00", None)] == ["10", "12.5", "100", ""]


def test_the_first_missing_required_variable_is_named() -> None:
    check_required(["a"], {"a": 0})
    for given in ({}, {"a": None}, {"a": ""}):
        with pytest.raises(RenderMissingVariable, match="RENDER_MISSING_VARIABLE: a"):
            check_required(["a"], given)


def test_plain_text_of_a_mail() -> None:
    html = """<html><head><title>no</title><style>p { x }</style></head><body>
      <h1>Hello</h1><p>Look <a href="https://a.test/x">here</a>
      now.</p>


      <ul><li>one</li><li>two</li></ul><p><a href="https://a.test">https://a.test</a></p><p>a&amp;b<br>c</p></body></html>"""

    assert text_of(html) == ("Hello\n\nLook here (https://a.test/x) now.\n\n- one\n- two\n\nhttps://a.test\n\na&b\nc")


def test_a_text_of_the_template_wins_over_the_derived_one() -> None:
    assert render(Texts("s", "<p>html</p>", "own {{x}}"), {"x": 1}, NEW_YORK).text == "own 1"
    assert render(Texts("s", "<p>html</p>", "  "), {}, NEW_YORK).text == "html"
