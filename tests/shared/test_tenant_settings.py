"""What a tenant has set, read through its own session."""

from __future__ import annotations

from typing import Any

import pytest

from shared.db.connections import connect
from shared.db.sessions import tenant_transaction
from shared.ids import find_customer, find_order
from shared.jobs.context import Tenant
from shared.tenant_settings import base_currency, config
from tests.conftest import Rows
from tests.shared.orders.conftest import EmittingSession


@pytest.fixture
def session(database_url: str, tenant: Tenant) -> Any:
    with (
        connect(database_url, application_name="test") as connection,
        tenant_transaction(connection, tenant),
    ):
        yield EmittingSession(connection)


def test_value_completes_a_dict_of_defaults(rows: Rows, session: EmittingSession) -> None:
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('k', '{"a": 5, "b": null}'), ('n', '7')""")

    assert config(session, "k", {"a": 1, "b": 2, "c": 3}) == {"a": 5, "b": 2, "c": 3}
    assert config(session, "n", 1) == 7
    assert config(session, "absent", {"a": 1}) == {"a": 1}


def test_base_currency_is_the_most_trusted_one_that_is_set(
    rows: Rows, session: EmittingSession, tenant: Tenant
) -> None:
    found = [base_currency(session)]
    connection = "INSERT INTO shopify_connections (tenant_id, shop, store_currency) VALUES (%s, 's', 'cad')"
    rows.execute(connection, (tenant.organization_id,))
    found.append(base_currency(session))
    rows.execute("INSERT INTO analytics_settings (default_currency) VALUES ('EUR')")
    found.append(base_currency(session))
    for currency in ("x", "gbp"):
        rows.execute(
            "UPDATE public.organizations SET settings = jsonb_build_object('currency', %s::text) WHERE id = %s",
            (currency, tenant.organization_id),
        )
        found.append(base_currency(session))

    assert found == ["USD", "CAD", "EUR", "EUR", "GBP"]


def test_order_is_looked_up_by_its_own_id_before_shopify_s(rows: Rows, session: EmittingSession) -> None:
    rows.execute(
        "INSERT INTO orders (id, order_number, shopify_order_id, shopify_id) VALUES"
        " ('77', '#1', '1', '1'), ('b', '#2', '77', '2'), ('c', '#3', '3', '77')"
    )

    found = [find_order(session, id) for id in ("77", "gid://shopify/Order/77", 2, "nobody")]

    # The gid is no orders.id, so the digits are compared with the Shopify columns: shopify_order_id before shopify_id.
    assert [row and row["id"] for row in found] == ["77", "b", "b", None]
    assert (found[0] or {})["legacy_id"] == "1"


def test_customer_is_looked_up_likewise(rows: Rows, session: EmittingSession) -> None:
    rows.execute("INSERT INTO customers (id, shopify_customer_id) VALUES ('a', '501'), ('501x', '502')")

    found = [find_customer(session, id) for id in ("a", 501, "gid://shopify/Customer/502", "503")]

    assert [row and row["id"] for row in found] == ["a", "a", "501x", None]
