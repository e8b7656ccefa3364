"""cgk-jobs tenants, db: on the test's own database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.conftest import with_database
from tests.shared.cli.conftest import Cli


def by_slug(cli: Cli) -> dict[str, Any]:
    return {tenant["slug"]: tenant for tenant in cli("tenants", "list", "--json").json["tenants"]}


def test_list_shows_who_is_provisioned(cli: Cli, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO organizations (slug, name, status) VALUES ('newcomer', 'New', 'onboarding')")

    found = by_slug(cli)

    assert {slug: (t["status"], t["provisioned"]) for slug, t in found.items()} == {
        "acme": ("active", True),
        "globex": ("active", True),
        "newcomer": ("onboarding", False),
    }
    assert set(found["acme"]) == {"slug", "name", "status", "id", "created_at", "provisioned"}
    assert "newcomer" in cli("tenants", "list").out


@pytest.fixture
def own_roles(admin: psycopg.Connection[Any]) -> Iterator[None]:
    """Roles are the server's, not the database's: those of this test's tenants go again."""
    yield
    for slug in ("initech", "newcomer"):
        if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (f"cgk_t_{slug}",)).fetchone():
            admin.execute(f"DROP OWNED BY cgk_t_{slug}; DROP ROLE cgk_t_{slug}")


def test_add_makes_a_tenant_once(cli: Cli, own_roles: None) -> None:
    first = cli("tenants", "add", "initech", "--name", "Initech", "--status", "onboarding", "--json").json
    again = cli("tenants", "add", "initech", "--name", "Other", "--json").json

    assert first["created"] is True
    assert again == {"slug": "initech", "id": first["id"], "created": False}
    found = by_slug(cli)["initech"]
    assert (found["name"], found["status"], found["provisioned"]) == ("Initech", "onboarding", True)


def test_provision_takes_those_that_the_applications_made(
    cli: Cli, own_roles: None, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("INSERT INTO organizations (slug, name, status) VALUES ('newcomer', 'New', 'onboarding')")

    assert cli("tenants", "provision", "--json").json == {"provisioned": ["newcomer"]}

    assert by_slug(cli)["newcomer"]["provisioned"]
    assert "every tenant is provisioned" in cli("tenants", "provision").out
    assert cli("tenants", "provision", "newcomer", "--json").json == {"provisioned": ["newcomer"]}


def test_suspend_and_activate_change_the_status(cli: Cli) -> None:
    assert cli("tenants", "suspend", "acme", "--json").json == {"slug": "acme", "status": "suspended"}
    assert by_slug(cli)["acme"]["status"] == "suspended"

    assert "acme is active" in cli("tenants", "activate", "acme").out
    assert by_slug(cli)["acme"]["status"] == "active"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("add", "Acme-2", "--name", "x"), 2, "only a-z, 0-9 and _ are allowed"),
        (("add", "system", "--name", "x"), 2, "is reserved"),
        (("suspend", "acne"), 1, "there is no tenant 'acne'; did you mean acme"),
        (("provision", "acne"), 2, "there is no tenant 'acne'; did you mean acme"),
    ],
    ids=["bad slug", "reserved slug", "suspend a stranger", "provision a stranger"],
)
def test_refusals_are_one_sentence(cli: Cli, argv: tuple[str, ...], code: int, says: str) -> None:
    said = cli("tenants", *argv)

    assert said.code == code
    assert says in said.err


# db.


def test_migrate_says_that_nothing_is_to_do(cli: Cli) -> None:
    assert "up to date" in cli("db", "migrate").out
    assert cli("db", "migrate", "--plan", "--json").json == {"plan": True, "schemas": {}, "refused": {}}


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS cgk_cli_empty")
        admin.execute("CREATE DATABASE cgk_cli_empty")
    yield with_database(server_url, "cgk_cli_empty")
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE cgk_cli_empty WITH (FORCE)")


def test_plan_on_an_empty_database_shows_everything_and_changes_nothing(bare: Cli, empty_url: str) -> None:
    bare.platform.environ["DATABASE_ADMIN_URL"] = empty_url

    planned = bare("db", "migrate", "--plan", "--json").json["schemas"]
    text = bare("db", "migrate", "--plan", "--sql").out

    assert {action["what"] for action in planned["jobs"]} >= {"create table claims", "create table runs"}
    assert "CREATE TABLE claims (" in text
    assert "would be made" in text
    with psycopg.connect(empty_url) as conn:
        assert conn.execute("SELECT to_regclass('jobs.claims')").fetchone() == (None,)
    bare.platform.environ["DATABASE_URL"] = empty_url
    said = bare("runs")
    assert said.code == 1
    assert "run `cgk-jobs db migrate`" in said.err


def test_login_gives_the_role_its_password(cli: Cli) -> None:
    assert cli("db", "login", "--json").json == {"role": "cgk_jobs"}

    other = cli("db", "login", "--login-role", "somebody")
    assert other.code == 2
    assert "logs in as 'cgk_jobs', not as 'somebody'" in other.err
    assert cli("db", "login", "--login-role", "No Role").code == 2
