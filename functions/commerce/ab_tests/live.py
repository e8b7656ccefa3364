"""Which tests are still looked at: running, paused, or ended so lately that something may still come in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from functions.commerce.ab_tests.evidence import LATE_WINDOW
from shared.jobs import Session
from shared.jobs.context import Row

PAGE_OF_TESTS = """
-- A/B tests: the next live tests, or of the named ones
SELECT t.id, t.status, t.ended_at,
       COALESCE(t.started_at, LEAST(
           (SELECT min(e.started_at) FROM ab_allocation_epochs e WHERE e.test_id = t.id),
           (SELECT min(w.assigned_at) FROM ab_visitors w WHERE w.test_id = t.id))) AS started_at,
       COALESCE(t.settings ->> 'tracking', 'events') AS tracking,
       s.counters_drained_at, s.evaluated_at
FROM ab_tests t
LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE t.id > %(after)s
  AND CASE WHEN %(ids)s::text[] IS NULL
           THEN t.status IN ('running', 'paused') OR (t.status = 'completed' AND t.ended_at > %(late)s)
           ELSE t.id = ANY(%(ids)s::text[]) END
ORDER BY t.id LIMIT %(page)s
"""

VARIANTS_OF = """
-- A/B tests: ids of the variants of tests, also of those with share 0
SELECT v.test_id, v.id FROM ab_variants v WHERE v.test_id = ANY(%(ids)s) ORDER BY v.test_id, v.id
"""


def page_of_tests(
    session: Session, slot: datetime, *, after: str, page: int, ids: Sequence[str] | None = None
) -> list[Row]:
    """The next `page` tests behind the id `after` that are live at `slot`, or that `ids` names, by id."""
    names = {
        "after": after,
        "ids": None if ids is None else sorted(set(ids)),
        "late": slot - LATE_WINDOW,
        "page": page,
    }
    return session.all(PAGE_OF_TESTS, names)


def variants_of(session: Session, ids: Sequence[str]) -> list[Row]:
    """(test_id, id) of all variants of tests."""
    return session.all(VARIANTS_OF, {"ids": list(ids)})
