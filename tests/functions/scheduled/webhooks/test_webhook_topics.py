"""Shopify's topics: from a webhook and what is known to events and writes, without a database."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from functions.scheduled.webhooks.model import (
    BodyInvalid,
)
from functions.scheduled.webhooks.topics import BY_PROVIDER, plan, topic_of
from tests.builders.webhooks import ROW, a_claimed, sent

SHIPMENT = UUID("0198a000-0000-7000-8000-0000000000aa")
UPDATED = "2026-11-20T05:00:00-05:00"

# -- Shopify: what is told -------------------------------------------------------------------------------------------

ORDER = ("order.sync", {"shopifyOrderId": "5001", "source": "webhook"})
ORDER_AT = ("order.sync", {"shopifyOrderId": "5001", "source": "webhook", "updatedAt": "2026-11-20T10:00:00Z"})


def customer(id: str, action: str, **more: str) -> tuple[str, dict[str, Any]]:
    return "customer.sync", {"shopifyCustomerId": id, "action": action, "source": "webhook", **more}


def product(action: str) -> tuple[str, dict[str, Any]]:
    known: dict[str, Any] = {"shopifyProductId": "9", "action": action, "source": "webhook"}
    return "product.syncOne", known if action == "delete" else {**known, "updatedAt": "2026-11-20T10:00:00Z"}


TOLD: list[tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]] = [
    ("orders/create", {"id": 5001, "updated_at": UPDATED}, [ORDER_AT]),
    ("orders/updated", {"id": "5001", "updated_at": UPDATED}, [ORDER_AT]),
    ("orders/paid", {"id": "gid://shopify/Order/5001", "updated_at": UPDATED}, [ORDER_AT]),
    ("orders/fulfilled", {"id": 5001, "updated_at": UPDATED}, [ORDER_AT]),
    ("orders/partially_fulfilled", {"id": 5001, "updated_at": UPDATED}, [ORDER_AT]),
    ("orders/cancelled", {"id": 5001, "updated_at": UPDATED}, [ORDER_AT]),
    ("orders/delete", {"id": 5001}, [ORDER]),
    ("orders/edited", {"order_edit": {"id": 1, "order_id": 5001}}, [ORDER]),
    ("refunds/create", {"id": 7, "order_id": 5001}, [ORDER]),
    ("fulfillments/create", {"id": 8, "order_id": 5001}, [ORDER]),
    ("fulfillments/update", {"id": 8, "order_id": 5001}, [ORDER]),
    ("draft_orders/update", {"id": 3, "status": "open"}, []),
    (
        "customers/create",
        {"id": 77, "updated_at": UPDATED},
        [customer("77", "create", updatedAt="2026-11-20T10:00:00Z")],
    ),
    ("customers/update", {"id": 77}, [customer("77", "update")]),
    ("customers/enable", {"id": 77}, [customer("77", "update")]),
    ("customers/disable", {"id": 77}, [customer("77", "update")]),
    ("customers/delete", {"id": 77}, [customer("77", "delete")]),
    ("customers_marketing_consent/update", {"customer_id": 77}, [customer("77", "update")]),
    ("customers_email_marketing_consent/update", {"customer_id": 77}, [customer("77", "update")]),
    (
        "customers/merge",
        {
            "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/1",
            "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/2",
        },
        [customer("1", "update"), customer("2", "delete")],
    ),
    ("products/create", {"id": 9, "updated_at": UPDATED}, [product("create")]),
    ("products/update", {"id": 9, "updated_at": UPDATED}, [product("update")]),
    ("products/delete", {"id": 9}, [product("delete")]),
    (
        "inventory_levels/update",
        {"inventory_item_id": 1, "location_id": 2, "available": 7, "updated_at": UPDATED},
        [
            (
                "inventory.update",
                {"inventoryItemId": "1", "shopifyLocationId": "2", "available": 7, "updatedAt": "2026-11-20T10:00:00Z"},
            )
        ],
    ),
    (
        "inventory_levels/disconnect",
        {"inventory_item_id": 1, "location_id": 2},
        [
            (
                "inventory.update",
                {"inventoryItemId": "1", "shopifyLocationId": "2", "updatedAt": "2026-11-20T12:00:00Z"},
            )
        ],
    ),
    (
        "collections/create",
        {"id": 4, "updated_at": UPDATED},
        [
            (
                "collection.sync",
                {
                    "shopifyCollectionId": "4",
                    "fullSync": False,
                    "action": "update",
                    "updatedAt": "2026-11-20T10:00:00Z",
                    "source": "webhook",
                },
            )
        ],
    ),
    (
        "collections/delete",
        {"id": 4},
        [
            (
                "collection.sync",
                {"shopifyCollectionId": "4", "fullSync": False, "action": "delete", "source": "webhook"},
            )
        ],
    ),
    ("subscription_contracts/create", {"id": 6}, []),
    ("checkouts/delete", {"id": 12}, []),
]


@pytest.mark.parametrize(("topic", "body", "events"), TOLD, ids=[row[0] for row in TOLD])
def test_shopify_topic_tells(topic: str, body: dict[str, Any], events: list[tuple[str, dict[str, Any]]]) -> None:
    made = plan(a_claimed(topic, body), ())

    assert sent(made) == events
    assert made.skip is None


@pytest.mark.parametrize("topic", ["fulfillments/create", "fulfillments/update"])
def test_fulfilment_of_a_creators_parcel_asks_for_every_parcel(topic: str) -> None:
    made = plan(a_claimed(topic, {"order_id": 5001}), [{"id": SHIPMENT}, {"id": ROW}])

    assert [name for name, _ in sent(made)] == ["order.sync", "creator.shipmentSync", "creator.shipmentSync"]
    assert len({send.key_for(a_claimed(topic, {})) for send in made.sends}) == 3


def test_completed_draft_order_asks_for_its_parcel() -> None:
    made = plan(a_claimed("draft_orders/update", {"id": 3, "status": "completed"}), [{"id": SHIPMENT}])

    assert sent(made) == [("creator.shipmentSync", {"shipmentId": str(SHIPMENT)})]


def test_unknown_topic_and_unknown_provider_have_no_handler() -> None:
    assert plan(a_claimed("themes/publish", {"id": 1}), ()).skip == "no_handler"
    assert plan(a_claimed("x", {}, provider="fax"), ()).skip == "no_handler"


WITHOUT_ID = [
    ("shopify", topic)
    for topic in BY_PROVIDER["shopify"]
    if topic not in ("shop/update", "app/uninstalled", "shop/redact")
] + [
    ("stripe", "topup.succeeded"),
    ("stripe", "payout.paid"),
    ("stripe", "charge.dispute.created"),
    ("wise", "transfers#state-change"),
    ("twilio", "message.status"),
    ("mux", "video.asset.ready"),
    ("assemblyai", "transcript.completed"),
]


@pytest.mark.parametrize(("provider", "topic"), WITHOUT_ID, ids=[f"{p} {t}" for p, t in WITHOUT_ID])
def test_body_without_what_the_topic_needs_is_invalid(provider: str, topic: str) -> None:
    webhook = a_claimed(topic, {"title": "no id here"}, provider=provider)

    def read_and_plan() -> None:
        found = topic_of(webhook)
        assert found is not None
        if found.look:
            found.look.params(webhook)
        plan(webhook, ())

    with pytest.raises(BodyInvalid):
        read_and_plan()


@pytest.mark.parametrize("body", [[], "text", 3, None], ids=["list", "text", "number", "null"])
def test_body_that_is_no_object_is_invalid(body: Any) -> None:
    with pytest.raises(BodyInvalid):
        plan(a_claimed("orders/create", body), ())


@pytest.mark.parametrize("id", [True, 1.5, "", "gid://shopify/Order/x", "12a", {}], ids=repr)
def test_what_is_no_id_is_invalid(id: Any) -> None:
    with pytest.raises(BodyInvalid):
        plan(a_claimed("orders/create", {"id": id}), ())
