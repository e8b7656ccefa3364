"""Orders one by one: brought to Shopify's present state, followed up when new, and when shipped.

Shopify is the master; nothing is written to it. The tenant's copy is written by shared.orders only, which guards
against older answers and announces what is new exactly once. An event that names an order that we do not hold fetches
it, or asks for it and comes back. Orders are named by id only: no address, name or mail in results, logs or events.
"""

from functions.commerce.orders.created import handle_order_created
from functions.commerce.orders.fulfilled import handle_order_fulfilled
from functions.commerce.orders.sync import sync_order

__all__ = ["handle_order_created", "handle_order_fulfilled", "sync_order"]
