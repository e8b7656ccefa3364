"""From Shopify's customer (API 2026-10) to the columns of customers and customer_addresses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.catalog.mapping import children, instant
from shared.catalog.records import INT_MAX, Columns, CustomerRecord, SmsConsent, content_hash, rows_json
from shared.ids import legacy_id
from shared.jobs.errors import Permanent
from shared.money import cents

Node = Mapping[str, Any]


def map_customer(node: Node) -> CustomerRecord:
    """A customer node with all addresses. Raises Permanent CUSTOMER_UNMAPPABLE, without a word of the person."""
    try:
        email, phone = node.get("defaultEmailAddress") or {}, node.get("defaultPhoneNumber") or {}
        default_id = (node.get("defaultAddress") or {}).get("id")
        default = legacy_id(default_id) if default_id else None
        held = [(legacy_id(each["id"]) == default, each) for each in children(node["addressesV2"])]
        columns = _columns(node, email, phone, next((each for is_default, each in held if is_default), None))
        id = columns["legacy_id"]
        addresses = tuple(_address(each, id, place, is_default) for place, (is_default, each) in enumerate(held))
        record_hash = content_hash({"customer": columns, "addresses": addresses})
        updated_at = datetime.fromisoformat(node["updatedAt"])
    except (KeyError, TypeError, ValueError) as error:
        # The error's own text may hold what it could not read.
        raise Permanent("CUSTOMER_UNMAPPABLE", type(error).__name__) from None
    texts = rows_json([columns]), rows_json(addresses)
    return CustomerRecord(columns["legacy_id"], updated_at, columns, addresses, _sms(phone), record_hash, *texts)


def _columns(node: Node, email: Node, phone: Node, default: Node | None) -> Columns:
    spent, spent_cents = node["amountSpent"], cents(node["amountSpent"]["amount"])
    consent = phone.get("smsMarketingConsent") or {}
    shopify = {
        "state": node.get("state"),
        "locale": node.get("locale"),
        "verifiedEmail": node.get("verifiedEmail"),
        "taxExempt": node.get("taxExempt"),
        "emailMarketingState": email.get("marketingState"),
        "emailOptInLevel": email.get("marketingOptInLevel"),
        "smsMarketingState": consent.get("state"),
        "smsMarketingUpdatedAt": consent.get("updatedAt"),
    }
    if spent_cents > INT_MAX:
        shopify["spentCapped"] = True
    address = (email.get("emailAddress") or "").strip().lower()
    return {
        "legacy_id": legacy_id(node["id"]),
        "email": address or None,
        "phone": phone.get("phoneNumber"),
        "first_name": node.get("firstName"),
        "last_name": node.get("lastName"),
        "notes": node.get("note"),
        "tags": list(node["tags"]),
        "default_address": None if default is None else _shown(default),
        "orders_count": int(node["numberOfOrders"]),
        "total_spent_cents": min(spent_cents, INT_MAX),
        "currency": spent["currencyCode"],
        "accepts_marketing": email.get("marketingState") == "SUBSCRIBED",
        "accepts_marketing_updated_at": email.get("marketingUpdatedAt"),
        "shopify_created_at": node["createdAt"],
        "shopify": shopify,
    }


def _sms(phone: Node) -> SmsConsent | None:
    consent = phone.get("smsMarketingConsent")
    if not consent or not phone.get("phoneNumber"):
        return None
    return SmsConsent(phone["phoneNumber"], consent["state"], instant(consent.get("updatedAt")))


def _shown(address: Node) -> Columns:
    """customers.default_address, in the names that the apps read."""
    names = (
        "firstName", "lastName", "company", "address1", "address2", "city", "province", "provinceCode", "country",
        "zip", "phone",
    )  # fmt: skip
    return {**{name: address.get(name) for name in names}, "countryCode": address.get("countryCodeV2")}


def _address(address: Node, customer_id: str, place: int, is_default: bool) -> Columns:
    return {
        "customer_shopify_id": customer_id,
        "address_index": place,
        "first_name": address.get("firstName"),
        "last_name": address.get("lastName"),
        "address1": address.get("address1"),
        "address2": address.get("address2"),
        "city": address.get("city"),
        "province": address.get("province"),
        "province_code": address.get("provinceCode"),
        "country": address.get("country"),
        "country_code": address.get("countryCodeV2"),
        "zip": address.get("zip"),
        "phone": address.get("phone"),
        "is_default": is_default,
    }
