"""The contracts of all events: import the models from here or from their subject's module."""

from shared.events.base import Event, Payload, VendorId, contract, contracts

__all__ = ["Event", "Payload", "VendorId", "contract", "contracts"]
