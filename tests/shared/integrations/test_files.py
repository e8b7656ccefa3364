"""Files in the platform's bucket: what is written, and what goes wrong."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws

from shared.integrations import files
from shared.jobs import JobContext, Permanent, Transient

BUCKET = "cgk-files"
KEY = "feeds/google/abc/products.xml"


def context(**settings: str) -> JobContext:
    """A run's settings and declaration; files ask for nothing else."""
    return cast(JobContext, SimpleNamespace(job_id="feed-render", files=("feeds",), setting=settings.get))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files._s3.cache_clear()
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
    files._s3.cache_clear()


@pytest.mark.parametrize("data", [b"content", io.BytesIO(b"content")], ids=["bytes", "file"])
def test_object_with_its_type_and_its_time(bucket: Any, data: Any) -> None:
    files.put(context(CGK_BUCKET=BUCKET), KEY, data, content_type="text/xml", cache_control=files.ONE_YEAR)

    found = bucket.get_object(Bucket=BUCKET, Key=KEY)
    assert (found["Body"].read(), found["ContentType"], found["CacheControl"]) == (
        b"content",
        "text/xml",
        files.ONE_YEAR,
    )


@pytest.mark.parametrize(
    ("settings", "key", "error", "code"),
    [
        ({}, KEY, Permanent, "FILES_NOT_CONFIGURED"),
        ({"CGK_BUCKET": "not-there"}, KEY, Transient, "FILES_UNAVAILABLE"),
        ({"CGK_BUCKET": BUCKET}, "feeds/../secrets", Permanent, "FILE_KEY_INVALID"),
        ({"CGK_BUCKET": BUCKET}, "/feeds/x", Permanent, "FILE_KEY_INVALID"),
        ({"CGK_BUCKET": BUCKET}, "feeds/a b", Permanent, "FILE_KEY_INVALID"),
    ],
)
def test_errors(bucket: Any, settings: dict[str, str], key: str, error: type[Exception], code: str) -> None:
    with pytest.raises(error, match=code):
        files.put(context(**settings), key, b"x", content_type="text/plain")


def test_public_address() -> None:
    assert files.public_url(context(CGK_BUCKET=BUCKET), KEY) == f"https://{BUCKET}.s3.amazonaws.com/{KEY}"
    own = context(CGK_BUCKET=BUCKET, FILES_PUBLIC_URL="https://files.cgk.test/")
    assert files.public_url(own, KEY) == f"https://files.cgk.test/{KEY}"


def test_prefix_that_the_job_does_not_declare_is_refused() -> None:
    with pytest.raises(ValueError, match="add it to files="):
        files.put(context(CGK_BUCKET=BUCKET), "exports/a.csv", b"", content_type="text/csv")
