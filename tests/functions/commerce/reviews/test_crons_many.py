"""A thousand tenants, of which fifty have a mail due: fifty events, however few rows the others have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from shared.jobs.testing import Bench
from shared.jobs.testing.clock import START
from tests.conftest import with_database
from tests.databases import PooledDatabase

SLUGS = [f"rv_{n:03}" for n in range(998)]
"""Beside acme and globex."""
DUE = SLUGS[::20]

# Only what the probe looks at.
MAKE = """
INSERT INTO public.organizations (slug, name, status) VALUES ('{slug}', '{slug}', 'active');
DO $$ BEGIN CREATE ROLE cgk_t_{slug} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
GRANT cgk_tenants TO cgk_t_{slug};
GRANT cgk_t_{slug} TO cgk_jobs;
CREATE SCHEMA tenant_{slug};
GRANT USAGE ON SCHEMA tenant_{slug} TO cgk_t_{slug};
CREATE TABLE tenant_{slug}.review_email_queue
    (status text, scheduled_at timestamptz, lease_expires_at timestamptz);
GRANT SELECT ON tenant_{slug}.review_email_queue TO cgk_t_{slug};
"""
QUEUE_MAIL = "INSERT INTO tenant_{slug}.review_email_queue VALUES ('scheduled', '{at}');"


@pytest.fixture(scope="module")
def pooled_database(server_url: str, template: str) -> Iterator[PooledDatabase]:
    """The template with 998 more tenants."""
    name = f"cgk_reviews_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    with psycopg.connect(with_database(server_url, name), autocommit=True) as admin:
        for first in range(0, len(SLUGS), 100):  # more at once would need more locks than there are
            admin.execute("".join(MAKE.format(slug=slug) for slug in SLUGS[first : first + 100]))
        admin.execute("".join(QUEUE_MAIL.format(slug=slug, at=START - timedelta(minutes=1)) for slug in DUE))
    database = PooledDatabase(server_url, name)
    yield database
    database.drop()
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        admin.execute("".join(f"DROP ROLE cgk_t_{slug};" for slug in SLUGS))  # the server is everybody's


def test_only_tenants_with_due_mail_get_an_event(bench: Bench) -> None:
    published = bench.tick("commerce-process-review-email-queue-scheduled", START).published

    assert {name for name, _ in published} == {"review.emailQueue"}
    assert sorted(detail["tenantId"] for _, detail in published) == DUE
    assert len(published) == 50
