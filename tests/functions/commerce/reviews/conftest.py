"""A tenant that may send review mails."""

from __future__ import annotations

import pytest

from shared.jobs.context import Tenant
from tests.conftest import Rows

PAGE = "https://shop.acme.test"


@pytest.fixture(autouse=True)
def page(rows: Rows, tenant: Tenant) -> str:
    """Where the tenant's review page is."""
    rows.execute(
        "UPDATE public.organizations SET custom_domain = 'shop.acme.test', custom_domain_verified = true WHERE id = %s",
        (tenant.organization_id,),
    )
    return PAGE
