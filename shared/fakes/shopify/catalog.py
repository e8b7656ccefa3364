"""The catalogue of one shop: products with variants, stock by location, collections, customers; what tests put there.

Stock is kept apart from the products: `levels` says what lies where, and a variant's inventoryQuantity is the sum of
its levels, if it has any. The builders make complete nodes of which tests change what they look at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.fakes.shopify.builders import gid, instant
from shared.fakes.shopify.project import FakeGap, Node
from shared.fakes.shopify.search import Facts, epoch, matcher

KINDS = ("Product", "Customer", "Collection", "Location")
_SORT_KEYS = {"ID": 0, "CREATED_AT": 1, "UPDATED_AT": 2}  # place in Facts
QUANTITY_NAMES = ("available", "on_hand", "committed", "incoming")

Row = tuple[int, int]


class Catalog:
    """Objects by kind and legacy id, in the shape of the schema."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._objects: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self._variants: dict[int, int] = {}  # variant -> product
        self._items: dict[int, int] = {}  # inventory item -> variant
        self._members: dict[int, list[int]] = {}
        self.levels: dict[tuple[int, int], dict[str, Any]] = {}  # (item, location) -> names and updatedAt
        self.idempotency: dict[str, Any] = {}  # key of @idempotent -> (input, answer)
        self._lock = threading.RLock()

    # What tests do

    def put(self, node: dict[str, Any]) -> dict[str, Any]:
        """Add or replace a product, customer, collection or location."""
        kind, number = node["id"].split("/")[3], int(node["id"].rsplit("/", 1)[1])
        node.setdefault("__typename", kind)
        node.setdefault("legacyResourceId", str(number))
        with self._lock:
            self._objects[kind][number] = node
            for variant in node["variants"]["nodes"] if kind == "Product" else ():
                self._variants[_number(variant)] = number
                self._items[_number(variant["inventoryItem"])] = _number(variant)
        return node

    def update(self, kind: str, id: int | str, **changes: Any) -> dict[str, Any]:
        """Change fields (schema names); updatedAt moves to now, by a second at least."""
        old = self._objects[kind][int(id)]
        moved = max(self._now().replace(microsecond=0), datetime.fromisoformat(old["updatedAt"]) + timedelta(seconds=1))
        return self.put({**old, "updatedAt": instant(moved), **changes})

    def remove(self, kind: str, id: int | str) -> None:
        """Take an object away: it answers null from now on."""
        with self._lock:
            del self._objects[kind][int(id)]

    def stock(self, item: int, location: int, available: int | None, *, at: str | None = None, **more: int) -> None:
        """Set what lies where; None takes the level away. Further names: on_hand, committed, incoming."""
        with self._lock:
            if available is None:
                self.levels.pop((item, location), None)
                return
            before = self.levels.get((item, location), {})
            self.levels[item, location] = {
                **before,
                "available": available,
                "on_hand": more.get("on_hand", available),
                **more,
                "updatedAt": at or instant(self._now()),
            }

    def members(self, collection: int, products: Iterable[int]) -> None:
        """The products of a collection, in its order."""
        self._members[collection] = list(products)

    # What queries see

    def count(self, kind: str) -> int:
        """How many there are."""
        return len(self._objects[kind])

    def node(self, kind: str, id: int) -> Node | None:
        """An object as queries see it, None when there is none."""
        if kind == "ProductVariant":
            return self._variant(id)
        if kind == "InventoryItem":
            return self._item(id, None)
        found = self._objects[kind].get(id)
        if found is None:
            return None
        if kind == "Product":
            return {**found, "variants": {"nodes": [self._with_stock(v) for v in found["variants"]["nodes"]]}}
        if kind == "Collection":
            ids = [id for id in self._members.get(id, ()) if id in self._objects["Product"]]
            return {
                **found,
                "products": {"nodes": [{"id": gid("Product", each)} for each in ids]},
                "productsCount": {"count": len(ids), "precision": "EXACT"},
            }
        return found

    def location(self, id: int, query: str | None) -> Node | None:
        """A location with the levels that a search finds."""
        found = self._objects["Location"].get(id)
        if found is None:
            return None
        with self._lock:
            keys = sorted(key for key in self.levels if key[1] == id and self._matches(key, query))
        return {**found, "inventoryLevels": {"nodes": [self._level(key) for key in keys]}}

    def items(self) -> list[Node]:
        """All inventory items, by id."""
        return [node for id in sorted(self._items) if (node := self._item(id, None)) is not None]

    def search(self, kind: str, query: str | None, sort_key: str) -> list[Row]:
        """All matches, ascending by (sort value, id)."""
        place = _SORT_KEYS.get(sort_key)
        if place is None:
            raise FakeGap(f"the Shopify fake does not sort {kind} by {sort_key}")
        holds = matcher(query)
        with self._lock:
            facts = [_facts(node) for node in self._objects[kind].values()]
            found = self._objects[kind]
            return sorted((each[place], each.legacy_id) for each in facts if holds(each, found.__getitem__))

    def _variant(self, id: int) -> Node | None:
        product = self._objects["Product"].get(self._variants.get(id, -1))
        if product is None:
            return None
        for variant in product["variants"]["nodes"]:
            if _number(variant) == id:
                return {**self._with_stock(variant), "product": {"id": product["id"]}, "__typename": "ProductVariant"}
        return None

    def _item(self, id: int, _query: str | None) -> Node | None:
        variant = self._variant(self._items.get(id, -1))
        if variant is None:
            return None
        with self._lock:
            keys = sorted(key for key in self.levels if key[0] == id)
        return {
            **variant["inventoryItem"],
            "__typename": "InventoryItem",
            "variants": {"nodes": [variant]},
            "inventoryLevels": {"nodes": [self._level(key) for key in keys]},
        }

    def _with_stock(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        item = _number(variant["inventoryItem"])
        with self._lock:
            held = [level["available"] for key, level in self.levels.items() if key[0] == item]
        return {**variant, "inventoryQuantity": sum(held)} if held else dict(variant)

    def _level(self, key: tuple[int, int]) -> dict[str, Any]:
        item, location = key
        level = self.levels[key]
        quantities = [
            {"id": f"gid://shopify/InventoryQuantity/{item}?name={name}", "name": name, "quantity": level.get(name, 0),
             "updatedAt": level["updatedAt"]}
            for name in QUANTITY_NAMES
        ]  # fmt: skip
        return {
            "__typename": "InventoryLevel",
            "id": f"gid://shopify/InventoryLevel/{location}?inventory_item_id={item}",
            "updatedAt": level["updatedAt"],
            "isActive": True,
            "item": {"id": gid("InventoryItem", item)},
            "location": {"id": gid("Location", location)},
            "quantities": quantities,
        }

    def _matches(self, key: tuple[int, int], query: str | None) -> bool:
        updated = epoch(self.levels[key]["updatedAt"])
        return matcher(query)(Facts(key[0], updated, updated, updated), lambda _id: {})


def _number(node: Mapping[str, Any]) -> int:
    return int(node["id"].rsplit("/", 1)[1])


def _facts(node: Mapping[str, Any]) -> Facts:
    created, updated = epoch(node.get("createdAt") or node["updatedAt"]), epoch(node["updatedAt"])
    return Facts(_number(node), created, updated, created)


# -- builders ----------------------------------------------------------------------------------------------------------

T0 = "2026-11-20T10:00:00Z"


def variant_node(id: int, price: str = "19.99", **fields: Any) -> dict[str, Any]:
    """A variant; its inventory item has the id of the variant plus 10,000,000. `tracked`, `cost`: of the item."""
    tracked, cost = fields.pop("tracked", True), fields.pop("cost", None)
    item = {
        "id": gid("InventoryItem", fields.pop("item", id + 10_000_000)),
        "tracked": tracked,
        "requiresShipping": True,
        "unitCost": {"amount": cost, "currencyCode": "USD"} if cost else None,
        "measurement": {"id": gid("InventoryItemMeasurement", id), "weight": {"unit": "KILOGRAMS", "value": 0.5}},
    }
    return {
        "id": gid("ProductVariant", id),
        "title": f"Variant {id}",
        "sku": f"SKU-{id}",
        "barcode": None,
        "price": price,
        "compareAtPrice": None,
        "position": 1,
        "availableForSale": True,
        "inventoryPolicy": "DENY",
        "inventoryQuantity": 50,
        "selectedOptions": [{"name": "Size", "value": str(id)}],
        "media": {"nodes": []},
        "inventoryItem": item,
        **fields,
    }


def product_node(id: int, variants: Iterable[dict[str, Any]] = (), **fields: Any) -> dict[str, Any]:
    """A product; the variants get their positions in the order given."""
    listed = list(variants) or [variant_node(id * 10)]
    image = {"url": f"https://cdn.example/{id}.jpg", "width": 800, "height": 600}
    return {
        "id": gid("Product", id),
        "legacyResourceId": str(id),
        "title": f"Product {id}",
        "handle": f"product-{id}",
        "description": f"About product {id}",
        "descriptionHtml": f"<p>About product {id}</p>",
        "vendor": "Acme",
        "productType": "Thing",
        "tags": ["b", "a"],
        "status": "ACTIVE",
        "totalInventory": 0,
        "tracksInventory": True,
        "isGiftCard": False,
        "onlineStoreUrl": None,
        "templateSuffix": None,
        "createdAt": T0,
        "updatedAt": T0,
        "publishedAt": T0,
        "seo": {"title": None, "description": None},
        "category": None,
        "featuredMedia": {"__typename": "MediaImage", "id": gid("MediaImage", id), "preview": {"image": image}},
        "options": [{"id": gid("ProductOption", id), "name": "Size", "values": ["1"]}],
        "media": {"nodes": [{"__typename": "MediaImage", "id": gid("MediaImage", id), "alt": "front", "image": image}]},
        "variants": {"nodes": [{**each, "position": place} for place, each in enumerate(listed, start=1)]},
        **fields,
    }


def customer_node(id: int, **fields: Any) -> dict[str, Any]:
    """A customer. `marketing` (state), `marketing_at`, `sms` (state), `sms_at`, `spent`, `currency`, `addresses`."""
    email, phone = fields.pop("email", f"c{id}@x.com"), fields.pop("phone", None)
    addresses = fields.pop("addresses", [])
    sms = {"state": fields.pop("sms", "NOT_SUBSCRIBED"), "optInLevel": None, "updatedAt": fields.pop("sms_at", None)}
    state, at = fields.pop("marketing", "NOT_SUBSCRIBED"), fields.pop("marketing_at", None)
    consent = {
        "emailAddress": email,
        "marketingState": state,
        "marketingOptInLevel": "SINGLE_OPT_IN",
        "marketingUpdatedAt": at,
    }
    spent = {"amount": fields.pop("spent", "0.0"), "currencyCode": fields.pop("currency", "USD")}
    return {
        "id": gid("Customer", id),
        "legacyResourceId": str(id),
        "firstName": "Ada",
        "lastName": "Byron",
        "note": None,
        "tags": [],
        "locale": "en",
        "state": "ENABLED",
        "verifiedEmail": True,
        "taxExempt": False,
        "createdAt": T0,
        "updatedAt": T0,
        "numberOfOrders": "0",
        "amountSpent": spent,
        "defaultEmailAddress": consent if email else None,
        "defaultPhoneNumber": {"phoneNumber": phone, "smsMarketingConsent": sms} if phone else None,
        "defaultAddress": {"id": addresses[0]["id"]} if addresses else None,
        "addressesV2": {"nodes": addresses},
        **fields,
    }


def address_node(id: int, **fields: Any) -> dict[str, Any]:
    """An address of a customer."""
    return {
        "id": f"gid://shopify/MailingAddress/{id}?model_name=CustomerAddress",
        "firstName": "Ada",
        "lastName": "Byron",
        "company": None,
        "address1": f"{id} Main St",
        "address2": None,
        "city": "Berlin",
        "province": None,
        "provinceCode": None,
        "country": "Germany",
        "countryCodeV2": "DE",
        "zip": "10115",
        "phone": None,
        **fields,
    }


def location_node(id: int, **fields: Any) -> dict[str, Any]:
    """A place where stock lies."""
    return {"id": gid("Location", id), "name": f"Place {id}", "isActive": True, "updatedAt": T0, **fields}


def collection_node(id: int, *, smart: bool = False, **fields: Any) -> dict[str, Any]:
    """A collection, by conditions or by hand."""
    source = {
        "__typename": "CollectionConditionsSource",
        "id": gid("CollectionConditionsSource", id),
        "title": "Conditions",
        "targetType": "PRODUCTS",
        "inclusion": {"__typename": "CollectionSourceInclusion"},
        "exclusion": None,
    }
    return {
        "id": gid("Collection", id),
        "title": f"Collection {id}",
        "handle": f"collection-{id}",
        "descriptionHtml": "",
        "sortOrder": "MANUAL",
        "templateSuffix": None,
        "updatedAt": T0,
        "image": None,
        "seo": {"title": None, "description": None},
        "sources": [source] if smart else [],
        **fields,
    }
