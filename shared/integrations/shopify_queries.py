"""What we ask Shopify's Admin GraphQL API, version 2026-10. Every text validates against the published schema.

The same fields serve single orders, pages, lists and bulk files, so that one mapping reads them all. Two groups of
fields need a scope beyond read_orders (`Access`); a shop that has not granted it is asked without them.
Page sizes of children are variables, because Shopify prices a query by the sizes it names, not by what it returns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

API_VERSION = "2026-10"


@dataclass(frozen=True, slots=True)
class Access:
    """Optional fields that may be asked: `customers` needs read_customers, `products` needs read_products."""

    customers: bool = True
    products: bool = True


NEEDS_SCOPE = {"customer": "read_customers", "product": "read_products", "variant": "read_products"}
"""Field of an order or line -> scope beyond read_orders."""

MONEY = "{ shopMoney { amount currencyCode } }"

ADDRESS = """{
  firstName lastName company address1 address2 city province provinceCode country countryCodeV2 zip phone
}"""

FULFILLMENT_FIELDS = """
  id legacyResourceId status displayStatus createdAt updatedAt deliveredAt estimatedDeliveryAt
  trackingInfo(first: 5) { company number url }
"""

# <customer> and <fulfillments> are filled in below.
ORDER_FIELDS = f"""
  id legacyResourceId name email createdAt processedAt updatedAt cancelledAt cancelReason closedAt test confirmed
  currencyCode taxesIncluded displayFinancialStatus displayFulfillmentStatus note tags discountCodes sourceName
  checkoutToken
  customAttributes {{ key value }}
  <customer>
  totalPriceSet {MONEY}
  subtotalPriceSet {MONEY}
  totalDiscountsSet {MONEY}
  totalTaxSet {MONEY}
  totalShippingPriceSet {MONEY}
  totalRefundedSet {MONEY}
  shippingAddress {ADDRESS}
  billingAddress {ADDRESS}
  customerJourneySummary {{
    ready
    lastVisit {{
      id landingPage referrerUrl source occurredAt
      utmParameters {{ source medium campaign content term }}
    }}
  }}
  fulfillments(first: <fulfillments>) {{ {FULFILLMENT_FIELDS} }}
"""

# <product> is filled in below.
LINE_FIELDS = f"""
  id title variantTitle sku quantity currentQuantity isGiftCard requiresShipping
  <product>
  sellingPlan {{ sellingPlanId name }}
  originalUnitPriceSet {MONEY}
  originalTotalSet {MONEY}
  discountAllocations {{ allocatedAmountSet {MONEY} }}
  taxLines {{ priceSet {MONEY} }}
"""

REFUND_HEAD = f"""
  id legacyResourceId note createdAt processedAt updatedAt
  totalRefundedSet {MONEY}
"""

REFUND_LINE_FIELDS = f"id quantity lineItem {{ id }} subtotalSet {MONEY} totalTaxSet {MONEY}"
REFUND_SHIPPING_FIELDS = f"id subtotalAmountSet {MONEY} taxAmountSet {MONEY}"
PAGE_INFO = "pageInfo { hasNextPage endCursor }"

REFUND_FIELDS = f"""
  {REFUND_HEAD}
  refundLineItems(first: $refundLines) {{ nodes {{ {REFUND_LINE_FIELDS} }} {PAGE_INFO} }}
  refundShippingLines(first: $refundShipping) {{ nodes {{ {REFUND_SHIPPING_FIELDS} }} {PAGE_INFO} }}
"""

CHILD_SIZES = "$lines: Int!, $refunds: Int!, $refundLines: Int!, $refundShipping: Int!, $fulfillments: Int!"


def _order_fields(access: Access, fulfillments: str) -> str:
    customer = "customer { id legacyResourceId }" if access.customers else ""
    return ORDER_FIELDS.replace("<customer>", customer).replace("<fulfillments>", fulfillments)


def _line_fields(access: Access) -> str:
    return LINE_FIELDS.replace("<product>", "product { id } variant { id }" if access.products else "")


def _whole_order(access: Access) -> str:
    """An order with all its children; their sizes are the variables of CHILD_SIZES."""
    return f"""
      {_order_fields(access, "$fulfillments")}
      lineItems(first: $lines) {{ nodes {{ {_line_fields(access)} }} {PAGE_INFO} }}
      refunds(first: $refunds) {{ {REFUND_FIELDS} }}
    """


# -- whole orders ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def order(access: Access) -> str:
    """One order by id. Variables: id and the sizes."""
    return f"query order($id: ID!, {CHILD_SIZES}) {{ order(id: $id) {{ {_whole_order(access)} }} }}"


@lru_cache(maxsize=4)
def orders(access: Access) -> str:
    """A page of orders by last change. Variables: first, after, query and the sizes."""
    return f"""query orders($first: Int!, $after: String, $query: String, {CHILD_SIZES}) {{
      orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
        nodes {{ {_whole_order(access)} }} {PAGE_INFO}
      }}
    }}"""


@lru_cache(maxsize=4)
def order_nodes(access: Access) -> str:
    """Orders by ids, null for an unknown one. Variables: ids and the sizes."""
    return f"""query orderNodes($ids: [ID!]!, {CHILD_SIZES}) {{
      nodes(ids: $ids) {{ ... on Order {{ {_whole_order(access)} }} }}
    }}"""


# Enough to see which orders changed, in one page of Shopify's largest size.
ORDER_IDS = f"""query orderIds($first: Int!, $after: String, $query: String) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ id legacyResourceId updatedAt }} {PAGE_INFO}
  }}
}}"""


@lru_cache(maxsize=4)
def more_lines(access: Access) -> str:
    """A further page of an order's line items."""
    return f"""query moreLines($id: ID!, $first: Int!, $after: String) {{
      order(id: $id) {{ lineItems(first: $first, after: $after) {{ nodes {{ {_line_fields(access)} }} {PAGE_INFO} }} }}
    }}"""


# -- parts of orders -------------------------------------------------------------------------------------------------

ALL_FULFILLMENTS = f"""query allFulfillments($id: ID!) {{
  order(id: $id) {{ fulfillments(first: 250) {{ {FULFILLMENT_FIELDS} }} }}
}}"""

ALL_REFUND_IDS = """query allRefundIds($id: ID!) {
  order(id: $id) { refunds(first: 250) { legacyResourceId } }
}"""

REFUND_NODES = f"""query refundNodes($ids: [ID!]!, $refundLines: Int!, $refundShipping: Int!) {{
  nodes(ids: $ids) {{ ... on Refund {{ {REFUND_FIELDS} }} }}
}}"""

MORE_REFUND_LINES = f"""query moreRefundLines($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{
    ... on Refund {{ refundLineItems(first: $first, after: $after) {{ nodes {{ {REFUND_LINE_FIELDS} }} {PAGE_INFO} }} }}
  }}
}}"""

MORE_REFUND_SHIPPING = f"""query moreRefundShipping($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{
    ... on Refund {{
      refundShippingLines(first: $first, after: $after) {{ nodes {{ {REFUND_SHIPPING_FIELDS} }} {PAGE_INFO} }}
    }}
  }}
}}"""

# Without `limit: null` Shopify stops counting at 10,000.
ORDERS_COUNT = "query ordersCount($query: String) { ordersCount(query: $query, limit: null) { count precision } }"

# -- bulk operations -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def bulk_orders(search: str, access: Access) -> str:
    """The query that a bulk operation runs over the orders of a search.

    A connection inside a list is refused there, so refunds come without their lines.
    """
    return f"""{{
      orders(query: {json.dumps(search)}) {{
        edges {{ node {{
          {_order_fields(access, "50")}
          refunds {{ {REFUND_HEAD} }}
          lineItems {{ edges {{ node {{ {_line_fields(access)} }} }} }}
        }} }}
      }}
    }}"""


BULK_OPERATION_FIELDS = "id status errorCode objectCount rootObjectCount fileSize url partialDataUrl"

# groupObjects puts the lines of an order right below it, so that the file can be merged as a stream.
BULK_START = """mutation bulkStart($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: true) {
    bulkOperation { id status }
    userErrors { code field message }
  }
}"""

BULK_OPERATION = f"query bulkOperation($id: ID!) {{ bulkOperation(id: $id) {{ {BULK_OPERATION_FIELDS} }} }}"

# Filtered by status in the client: the search index lags behind an operation that was created a second ago.
BULK_OPERATIONS = f"""query bulkOperations($first: Int!) {{
  bulkOperations(first: $first, sortKey: CREATED_AT, reverse: true) {{ nodes {{ {BULK_OPERATION_FIELDS} query }} }}
}}"""

BULK_CANCEL = """mutation bulkCancel($id: ID!) {
  bulkOperationCancel(id: $id) { bulkOperation { id status } userErrors { field message } }
}"""
