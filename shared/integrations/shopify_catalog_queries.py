"""What we ask Shopify about products, customers, stock and collections, version 2026-10.

The same fields serve single objects, pages, lists and bulk files, so that one mapping reads them all; in a bulk file
the connections become lines of their own. Every text validates against the published schema.
"""

from __future__ import annotations

from datetime import UTC, datetime

PAGE_INFO = "pageInfo { hasNextPage endCursor }"

# -- products ----------------------------------------------------------------------------------------------------------

PRODUCT_FIELDS = """
  id legacyResourceId title handle description descriptionHtml vendor productType tags status totalInventory
  tracksInventory isGiftCard onlineStoreUrl templateSuffix createdAt updatedAt publishedAt
  seo { title description }
  category { id fullName }
  featuredMedia { id preview { image { url } } }
  options { id name values }
"""
MEDIA_FIELDS = "id ... on MediaImage { alt image { url width height } }"
VARIANT_MEDIA = "id preview { image { url } }"
VARIANT_FIELDS = """
  id title sku barcode price compareAtPrice position availableForSale inventoryPolicy inventoryQuantity
  selectedOptions { name value }
  inventoryItem {
    id tracked requiresShipping
    unitCost { amount currencyCode }
    measurement { weight { unit value } }
  }
"""
VARIANT = f"{VARIANT_FIELDS} media(first: 1) {{ nodes {{ {VARIANT_MEDIA} }} }}"
PRODUCT = f"""
  {PRODUCT_FIELDS}
  media(first: 50) {{ nodes {{ {MEDIA_FIELDS} }} {PAGE_INFO} }}
  variants(first: 100) {{ nodes {{ {VARIANT} }} {PAGE_INFO} }}
"""

ONE_PRODUCT = f"query product($id: ID!) {{ product(id: $id) {{ {PRODUCT} }} }}"
PRODUCTS = f"""query products($first: Int!, $after: String, $query: String) {{
  products(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{ nodes {{ {PRODUCT} }} {PAGE_INFO} }}
}}"""
PRODUCT_NODES = f"query productNodes($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Product {{ {PRODUCT} }} }} }}"
MORE_VARIANTS = f"""query moreVariants($id: ID!, $first: Int!, $after: String) {{
  product(id: $id) {{ variants(first: $first, after: $after) {{ nodes {{ {VARIANT} }} {PAGE_INFO} }} }}
}}"""
MORE_MEDIA = f"""query moreMedia($id: ID!, $first: Int!, $after: String) {{
  product(id: $id) {{ media(first: $first, after: $after) {{ nodes {{ {MEDIA_FIELDS} }} {PAGE_INFO} }} }}
}}"""
PRODUCTS_COUNT = "query productsCount { productsCount(limit: null) { count precision } }"

BULK_PRODUCTS = f"""{{
  products {{ edges {{ node {{
    {PRODUCT_FIELDS}
    media {{ edges {{ node {{ {MEDIA_FIELDS} }} }} }}
    variants {{ edges {{ node {{ {VARIANT_FIELDS} media {{ edges {{ node {{ {VARIANT_MEDIA} }} }} }} }} }} }}
  }} }} }}
}}"""

# -- customers ---------------------------------------------------------------------------------------------------------

ADDRESS = """
  id firstName lastName company address1 address2 city province provinceCode country countryCodeV2 zip phone
"""
CUSTOMER_FIELDS = """
  id legacyResourceId firstName lastName note tags locale state verifiedEmail taxExempt createdAt updatedAt
  numberOfOrders
  amountSpent { amount currencyCode }
  defaultEmailAddress { emailAddress marketingState marketingOptInLevel marketingUpdatedAt }
  defaultPhoneNumber { phoneNumber smsMarketingConsent { state optInLevel updatedAt } }
  defaultAddress { id }
"""
CUSTOMER = f"{CUSTOMER_FIELDS} addressesV2(first: 20) {{ nodes {{ {ADDRESS} }} {PAGE_INFO} }}"

ONE_CUSTOMER = f"query customer($id: ID!) {{ customer(id: $id) {{ {CUSTOMER} }} }}"
CUSTOMERS = f"""query customers($first: Int!, $after: String, $query: String) {{
  customers(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{ nodes {{ {CUSTOMER} }} {PAGE_INFO} }}
}}"""
CUSTOMER_NODES = f"query customerNodes($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Customer {{ {CUSTOMER} }} }} }}"
MORE_ADDRESSES = f"""query moreAddresses($id: ID!, $first: Int!, $after: String) {{
  customer(id: $id) {{ addressesV2(first: $first, after: $after) {{ nodes {{ {ADDRESS} }} {PAGE_INFO} }} }}
}}"""
CUSTOMERS_COUNT = "query customersCount { customersCount(limit: null) { count precision } }"
NODE_IDS = "query nodeIds($ids: [ID!]!) { nodes(ids: $ids) { id } }"

BULK_CUSTOMERS = f"""{{
  customers {{ edges {{ node {{ {CUSTOMER_FIELDS} addressesV2 {{ edges {{ node {{ {ADDRESS} }} }} }} }} }} }}
}}"""

# -- stock -------------------------------------------------------------------------------------------------------------

QUANTITIES = 'quantities(names: ["available", "on_hand", "committed", "incoming"]) { name quantity updatedAt }'
LEVEL_FIELDS = f"id updatedAt isActive {QUANTITIES}"

LOCATIONS = f"""query locations($first: Int!, $after: String) {{
  locations(first: $first, after: $after, includeInactive: true) {{
    nodes {{ id legacyResourceId name isActive }} {PAGE_INFO}
  }}
}}"""
LOCATION_LEVELS = f"""query locationLevels($id: ID!, $first: Int!, $after: String, $query: String) {{
  location(id: $id) {{
    inventoryLevels(first: $first, after: $after, query: $query) {{
      nodes {{ {LEVEL_FIELDS} item {{ id }} }} {PAGE_INFO}
    }}
  }}
}}"""
ITEM = f"""
  id tracked
  variants(first: 1) {{ nodes {{ id product {{ id }} }} }}
  inventoryLevels(first: 100) {{ nodes {{ {LEVEL_FIELDS} location {{ id }} }} {PAGE_INFO} }}
"""
ONE_ITEM = f"query inventoryItem($id: ID!) {{ inventoryItem(id: $id) {{ {ITEM} }} }}"
ITEM_NODES = f"query itemNodes($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on InventoryItem {{ {ITEM} }} }} }}"
ITEM_OF_VARIANT = """query itemOfVariant($id: ID!) {
  node(id: $id) { ... on ProductVariant { id product { id } inventoryItem { id } } }
}"""

BULK_INVENTORY = f"""{{
  inventoryItems {{ edges {{ node {{
    id tracked
    inventoryLevels {{ edges {{ node {{ {LEVEL_FIELDS} location {{ id }} }} }} }}
  }} }} }}
}}"""

CHANGES = "inventoryAdjustmentGroup { id changes { name delta quantityAfterChange } }"
SET_QUANTITIES = f"""mutation setQuantities($input: InventorySetQuantitiesInput!, $key: String!) {{
  inventorySetQuantities(input: $input) @idempotent(key: $key) {{
    {CHANGES}
    userErrors {{ code field message }}
  }}
}}"""
ADJUST_QUANTITIES = f"""mutation adjustQuantities($input: InventoryAdjustQuantitiesInput!, $key: String!) {{
  inventoryAdjustQuantities(input: $input) @idempotent(key: $key) {{
    {CHANGES}
    userErrors {{ code field message }}
  }}
}}"""

# -- collections -------------------------------------------------------------------------------------------------------

COLLECTION = """
  id legacyResourceId title handle descriptionHtml sortOrder templateSuffix updatedAt
  image { url }
  seo { title description }
  productsCount { count }
  sources {
    __typename id title
    ... on CollectionConditionsSource { targetType inclusion { __typename } exclusion { __typename } }
  }
"""
ONE_COLLECTION = f"query collection($id: ID!) {{ collection(id: $id) {{ {COLLECTION} }} }}"
COLLECTIONS = f"""query collections($first: Int!, $after: String) {{
  collections(first: $first, after: $after, sortKey: ID) {{ nodes {{ {COLLECTION} }} {PAGE_INFO} }}
}}"""
COLLECTIONS_COUNT = "query collectionsCount { collectionsCount(limit: null) { count precision } }"
COLLECTION_MEMBERS = f"""query collectionMembers($id: ID!, $first: Int!, $after: String) {{
  collection(id: $id) {{
    products(first: $first, after: $after, sortKey: COLLECTION_DEFAULT) {{ nodes {{ id }} {PAGE_INFO} }}
  }}
}}"""

# -- bulk operations ---------------------------------------------------------------------------------------------------

# Not grouped: the lines are staged and merged afterwards, so a child may stand anywhere behind its parent.
BULK_START = """mutation bulkStart($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: false) {
    bulkOperation { id status }
    userErrors { code field message }
  }
}"""


def changed_since(at: datetime) -> str:
    """The search for objects that changed at or after an instant; whole seconds, rounded down."""
    return f"updated_at:>='{_instant(at)}'"


def created_since(at: datetime) -> str:
    """The search for objects that were made at or after an instant; whole seconds, rounded down."""
    return f"created_at:>='{_instant(at)}'"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
