"""needs_attention: the marks of a test, each set and cleared by whoever knows about it, the others left alone."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg.types.json import Jsonb

from shared.jobs import Session

REDIS_UNAVAILABLE = "redis_unavailable"
Marks = Mapping[str, bool]
"""Mark -> whether it is to stand."""

SET_MARKS = """
-- A/B tests: set and clear marks of tests
WITH wanted AS (
  SELECT s.test_id,
         ARRAY(SELECT mark
               FROM (SELECT unnest(s.needs_attention) UNION SELECT jsonb_array_elements_text(c.ons)) m (mark)
               WHERE NOT c.offs ? mark ORDER BY mark) AS marks
  FROM unnest(%(ids)s::text[], %(ons)s::jsonb[], %(offs)s::jsonb[]) AS c (test_id, ons, offs)
  JOIN ab_test_state s USING (test_id))
UPDATE ab_test_state s SET needs_attention = w.marks
FROM wanted w WHERE s.test_id = w.test_id AND s.needs_attention IS DISTINCT FROM w.marks
"""


def set_marks(session: Session, tests: Mapping[str, Marks]) -> None:
    """Set and clear marks of tests, by test id; their state rows must be held."""
    if not tests:
        return
    names = {
        "ids": list(tests),
        "ons": [Jsonb([mark for mark, on in marks.items() if on]) for marks in tests.values()],
        "offs": [Jsonb([mark for mark, on in marks.items() if not on]) for marks in tests.values()],
    }
    session.execute(SET_MARKS, names)
