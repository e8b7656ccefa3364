"""Databases of these suites: an empty one, and one that looks as the platform's applications made it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

_numbers = itertools.count(1)

# An older CGK database: fewer tables, fewer columns, no jobs. `cgk_test_app` is the applications' role.
PLATFORM = """
DO $$ BEGIN
    CREATE ROLE cgk_test_app LOGIN PASSWORD 'app';
EXCEPTION WHEN duplicate_object THEN NULL; END $$;

CREATE TYPE organization_status AS ENUM ('onboarding', 'active', 'suspended');
CREATE FUNCTION update_updated_at_column() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.updated_at = now() + interval '1 hour'; RETURN NEW; END; $$;
CREATE TABLE organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text NOT NULL UNIQUE, name text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}', shopify_store_domain varchar(80), shopify_access_token_encrypted text,
    status organization_status NOT NULL DEFAULT 'onboarding',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE platform_webhooks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid REFERENCES organizations(id),
    event_type text NOT NULL, target_url text NOT NULL, payload jsonb DEFAULT '{}',
    status text NOT NULL DEFAULT 'pending', created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO organizations (slug, name, status) VALUES ('older', 'Older', 'active'), ('elder', 'Elder', 'active');
INSERT INTO platform_webhooks (tenant_id, event_type, target_url)
SELECT id, 'order.paid', 'https://example.test/' || slug FROM organizations;

CREATE SCHEMA tenant_older AUTHORIZATION cgk_test_app;
CREATE TYPE tenant_older.order_status AS ENUM ('pending', 'confirmed', 'processing', 'shipped', 'delivered',
    'cancelled', 'refunded', 'in_the_mail');
CREATE TYPE tenant_older.financial_status AS ENUM ('pending', 'paid');
CREATE TABLE tenant_older.orders (
    id text PRIMARY KEY, shopify_order_id text, order_number text NOT NULL,
    status tenant_older.order_status NOT NULL DEFAULT 'pending',
    financial_status tenant_older.financial_status NOT NULL DEFAULT 'pending',
    total_cents bigint NOT NULL DEFAULT 0, app_only text,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX app_orders_by_day ON tenant_older.orders (created_at, total_cents);
CREATE TRIGGER app_touch BEFORE UPDATE ON tenant_older.orders
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
INSERT INTO tenant_older.orders (id, order_number, total_cents, app_only)
VALUES ('o1', '#1', 1234, 'x'), ('o2', '#2', 1, 'y');

GRANT USAGE ON SCHEMA public TO cgk_test_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations, platform_webhooks TO cgk_test_app;
ALTER TABLE tenant_older.orders OWNER TO cgk_test_app;
"""


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """Admin URL of a database with nothing in it."""
    name = f"cgk_empty_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    yield make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def platform_url(empty_url: str) -> str:
    """Admin URL of an older CGK database with rows; tenant `older` has a schema, tenant `elder` none."""
    with psycopg.connect(empty_url, autocommit=True) as admin:
        admin.execute(PLATFORM)
    return empty_url


@pytest.fixture
def app(platform_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The applications' own connection to the older database."""
    with psycopg.connect(make_conninfo(platform_url, user="cgk_test_app", password="app"), autocommit=True) as conn:
        yield conn


def fetch(url: str, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
    """Rows of one statement as the admin."""
    with psycopg.connect(url, autocommit=True) as admin:
        return admin.execute(sql, params).fetchall()


def run(url: str, sql: str) -> None:
    """Statements as the admin."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql)
