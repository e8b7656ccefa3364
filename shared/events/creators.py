"""Events about creators' parcels."""

from __future__ import annotations

from uuid import UUID

from shared.events.base import Event


class CreatorShipmentSync(Event, name="creator.shipmentSync", from_apps=True):
    """Read the state of one parcel (`shipment_id`), or of all open ones."""

    shipment_id: UUID | None = None
    """creator_product_shipments.id: only this one, whatever its status."""
    full_sync: bool = False
    """Also parcels that were delivered lately."""
