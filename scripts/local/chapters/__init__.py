"""What other jobs do for the demo shops, a module each. Each asks by events, waits, then checks what stands.

A chapter that an earlier start has told asks nothing again and shows what stands, so a second start is quick and keeps
its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.local.chapters import ab_test, catalog, feed, reviews

if TYPE_CHECKING:
    from scripts.local.story import Story


def begin(story: Story) -> None:
    """What has to stand before the first order comes."""
    ab_test.begin(story)


def put_off(story: Story) -> int:
    """Messages that a job has put off for so long that nobody waits for them."""
    return feed.put_off(story)


def tell(story: Story) -> None:
    """All chapters, after the orders are in."""
    catalog.tell(story)
    feed.tell(story)
    reviews.tell(story)
    ab_test.tell(story)
