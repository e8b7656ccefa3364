"""What a job author imports, and what a function costs to start."""

from __future__ import annotations

import subprocess
import sys

import pytest

import shared.jobs
from shared.jobs.environment import JobsEnvironment, SettingError


def test_public_names_are_those_of_all() -> None:
    assert sorted(shared.jobs.__all__) == shared.jobs.__all__
    assert all(hasattr(shared.jobs, name) for name in shared.jobs.__all__)


def test_importing_a_lambda_entry_imports_neither_boto3_nor_psycopg() -> None:
    code = (
        "import sys, functions.commerce.handler, functions.scheduled.handler, functions.kernel.handler;"
        "print([m for m in ('boto3', 'psycopg', 'pydantic', 'cryptography') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "boto3" not in done.stdout
    assert "psycopg" not in done.stdout


def test_missing_secret_is_named() -> None:
    environment = JobsEnvironment.read({})

    with pytest.raises(SettingError, match="INTEGRATION_ENCRYPTION_KEY"):
        environment.secrets({"DATABASE_URL": "postgresql://x"})


def test_secrets_are_no_settings() -> None:
    environment = JobsEnvironment.read({"INTEGRATION_ENCRYPTION_KEY": "k", "SHOPIFY_BASE_URL": "http://x"})

    assert dict(environment.settings) == {"SHOPIFY_BASE_URL": "http://x"}
