"""The catalogue: products, customers, stock and collections of the tenant's shop, kept as Shopify has them.

Single objects follow webhooks within seconds; what webhooks lose is repaired by pages of changes and by exports.
Shopify is the master: the only thing written there is stock that an app asked to correct. The rows are written by
shared.catalog, which guards against older answers; results, logs and events name objects by id only.
"""

from functions.commerce.catalog.collections import sync_collection_products, sync_collections
from functions.commerce.catalog.customers import sync_customer
from functions.commerce.catalog.inventory import update_inventory
from functions.commerce.catalog.products import sync_product

__all__ = ["sync_collection_products", "sync_collections", "sync_customer", "sync_product", "update_inventory"]
