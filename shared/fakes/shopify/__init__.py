"""A stateful fake of the Shopify Admin GraphQL API 2026-10, checked against the vendor's own schema.

    with ShopifyFake.start(shopify_schema()) as fake:
        shop = fake.shop("acme.myshopify.com", token="...")
        shop.order(lines=[Line("50.00", 2, discount="10.00"), Line("30.00")], tax="9.36", shipping="5.95")
        fake.fail("throttled", match="ordersCount")

As a process: `python -m shared.fakes.shopify --port N --state-dir D [--cdnow PATH]`.
"""

from shared.fakes.shopify.builders import Fulfilment, Line, OrderDraft, Refund, order_node
from shared.fakes.shopify.fake import Recorded, ShopifyFake
from shared.fakes.shopify.project import FakeGap
from shared.fakes.shopify.shop import Shop

__all__ = ["FakeGap", "Fulfilment", "Line", "OrderDraft", "Recorded", "Refund", "Shop", "ShopifyFake", "order_node"]
