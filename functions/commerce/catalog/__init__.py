"""The catalogue: products, customers, stock and collections of the tenant's shop, kept as Shopify has them.

Single objects follow webhooks within seconds; what webhooks lose is repaired by pages of changes and by exports.
Shopify is the master: the only thing written there is stock that an app asked to correct. The rows are written by
shared.catalog, which guards against older answers; results, logs and events name objects by id only.
"""

from functions.commerce.catalog.collections import sync_collection_products, sync_collections
from functions.commerce.catalog.crons import customer_full_sync, inventory_sync_scheduled, product_full_sync
from functions.commerce.catalog.customer_batch import sync_customer_batch
from functions.commerce.catalog.customer_events import handle_customer_created, handle_customer_updated
from functions.commerce.catalog.customers import sync_customer
from functions.commerce.catalog.entries import handle_inventory_sync, handle_product_sync
from functions.commerce.catalog.inventory import update_inventory
from functions.commerce.catalog.inventory_batch import sync_inventory_batch
from functions.commerce.catalog.product_batch import sync_product_batch
from functions.commerce.catalog.products import sync_product

__all__ = [
    "customer_full_sync",
    "handle_customer_created",
    "handle_customer_updated",
    "handle_inventory_sync",
    "handle_product_sync",
    "inventory_sync_scheduled",
    "product_full_sync",
    "sync_collection_products",
    "sync_collections",
    "sync_customer",
    "sync_customer_batch",
    "sync_inventory_batch",
    "sync_product",
    "sync_product_batch",
    "update_inventory",
]
