"""Events about the product feed for Google Merchant Center."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from shared.events.base import Event, VendorId


class GoogleFeedSync(Event, name="googleFeed.sync", from_apps=True):
    """Compare the whole feed with what Google holds; with `full_sync` false only what moved since the last time."""

    full_sync: bool = True
    triggered_by: Literal["schedule", "manual", "webhook"] = "schedule"
    sync_id: UUID | None = None
    """google_feed_sync_history.id, set by the job's own follow-ups."""
    step: Literal["prepare", "send", "delete", "finish", "status"] = "prepare"


class GoogleFeedProductUpdate(Event, name="googleFeed.productUpdate", from_apps=True):
    """Send or remove the offers of one product soon after a change."""

    product_id: VendorId
    """Legacy id, gid or products.id."""
    variant_id: VendorId | None = None
    """Only this variant's offer."""
    action: Literal["update", "delete"]
