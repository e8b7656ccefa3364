"""AWS in memory with the secrets of a stage, and a checkout that knows two stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

ACCOUNT = "123456789012"
"""Moto's own."""
STAGES = {
    "staging": {"prefix": "stg", "account": ACCOUNT, "region": "us-east-1"},
    "production": {"prefix": "cgk", "account": "999999999999", "region": "us-east-1"},
}
UNSET = ("DATABASE_URL", "DATABASE_ADMIN_URL", "INTEGRATION_ENCRYPTION_KEY", "AWS_ENDPOINT_URL", "CGK_SECRET_ID")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in memory; boto3 reads the process's environment."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project folder with a cdk.json."""
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"cgk:stages": STAGES}}))
    return tmp_path


@pytest.fixture
def staging(aws: None) -> Any:
    """Secrets Manager with the two secrets of staging as CDK makes them, without a value (moto wants one)."""
    client = boto3.client("secretsmanager")
    for name in ("stg/jobs", "stg/admin"):
        client.create_secret(Name=name, SecretString="{}")
    return client


def members(client: Any, name: str) -> dict[str, str]:
    """What a secret holds."""
    found: dict[str, str] = json.loads(client.get_secret_value(SecretId=name)["SecretString"])
    return found
