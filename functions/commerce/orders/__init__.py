"""Orders: brought to Shopify's present state one by one, and by the hour what webhooks have missed; followed up when
new, and when shipped; their marketing source and their creator's commission.

Shopify is the master; nothing is written to it. The tenant's copy is written by shared.orders only, which guards
against older answers and announces what is new exactly once. An event that names an order that we do not hold fetches
it, or asks for it and comes back. Orders are named by id only: no address, name or mail in results, logs or events.
"""

from functions.commerce.orders.attribution import order_attribution
from functions.commerce.orders.commission import order_commission
from functions.commerce.orders.created import handle_order_created
from functions.commerce.orders.fulfilled import handle_order_fulfilled
from functions.commerce.orders.reconcile import order_reconciliation, order_reconciliation_scheduled
from functions.commerce.orders.review_email import order_review_email
from functions.commerce.orders.sync import sync_order

__all__ = [
    "handle_order_created",
    "handle_order_fulfilled",
    "order_attribution",
    "order_commission",
    "order_reconciliation",
    "order_reconciliation_scheduled",
    "order_review_email",
    "sync_order",
]
