"""Events about the product feed for Google Merchant Center."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from shared.events.base import Event, Payload, VendorId


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


Side = Annotated[int, Field(ge=100, le=4000)]


class ImageOptions(Payload):
    """How a copy is to look; without options an image that meets Google's rules is left as it is."""

    remove_background: bool = False
    target_width: Side = 1500
    target_height: Side = 1500
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    quality: Annotated[int, Field(ge=40, le=95)] = 85


class GoogleFeedImageOptimize(Event, name="googleFeed.imageOptimize", from_apps=True):
    """Check one product image against Google's requirements and make a conforming copy where it needs one."""

    product_id: VendorId
    image_url: Annotated[str, Field(min_length=1, max_length=2000)]
    """An https address."""
    variant_id: VendorId | None = None
    options: ImageOptions | None = None
