"""Events about abandoned checkouts."""

from __future__ import annotations

from shared.events.base import Event, VendorId


class RecoveryCheckoutUpdated(Event, name="recovery.checkoutUpdated", to_apps=True):
    """A checkout that may have been abandoned was completed."""

    shopify_checkout_id: VendorId
    completed: bool
