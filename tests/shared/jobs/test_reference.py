"""docs/jobs.md holds what the declarations say."""

from __future__ import annotations

from shared.jobs.reference import PAGE, page, section
from shared.jobs.registry import Registry
from tests.toys import play


def test_page_is_fresh(registry: Registry) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(registry), "run scripts/docs"


def test_section_names_trigger_payload_and_retry() -> None:
    text = section(play)

    assert "`toy.asked`" in text
    assert "`act`?, `n`?" in text
    assert "3 attempts, 2 s times 2 up to 60 s" in text
