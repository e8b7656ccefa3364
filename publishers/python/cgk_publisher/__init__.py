"""Publishes the events of CGK's background jobs.

from cgk_publisher import Publisher
from cgk_publisher.events import OrderSync

publisher = Publisher(source="shop.app")
publisher.publish(OrderSync(shopify_order_id="1001"), tenant="acme", key="order-1001")
"""

from cgk_publisher.base import AppEvent, Part
from cgk_publisher.publisher import Failed, Outgoing, Publisher, PublishFailed, PublishRefused

__all__ = ["AppEvent", "Failed", "Outgoing", "Part", "PublishFailed", "PublishRefused", "Publisher"]
