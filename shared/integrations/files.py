"""What the jobs put into the platform's bucket for others to read: feed files, images.

Whoever holds the prefix decides who reads: feeds/ is public through the address FILES_PUBLIC_URL (a distribution in
front of the bucket, which is itself closed). boto3 streams a file from disk, so that its size costs no memory.

    Permanent  FILES_NOT_CONFIGURED     no bucket
    Transient  FILES_UNAVAILABLE        the bucket did not take it
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import IO, Any

from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, Transient

BUCKET = "CGK_BUCKET"
PUBLIC_URL = "FILES_PUBLIC_URL"
ONE_YEAR = "public, max-age=31536000, immutable"
"""Cache-Control of an object whose key is a function of its content."""

_KEY = re.compile(r"[a-z][a-z0-9-]*(/[A-Za-z0-9._-]+)+")


def put(
    ctx: JobContext, key: str, data: bytes | IO[bytes], *, content_type: str, cache_control: str | None = None
) -> None:
    """Write an object, whole or not at all, below a prefix that the job declares (`files=`).

    No session may be open: a large file takes its time.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    if not _KEY.fullmatch(key) or ".." in key:
        raise Permanent("FILE_KEY_INVALID", "the key of a file has a character or form that is not allowed")
    if key.partition("/")[0] not in ctx.files:
        raise ValueError(f"{ctx.job_id} writes below {key.partition('/')[0]}/; add it to files= of the declaration")
    more = {"ContentType": content_type, **({"CacheControl": cache_control} if cache_control else {})}
    bucket, error = _bucket(ctx), ""
    try:
        if isinstance(data, bytes):
            _s3().put_object(Bucket=bucket, Key=key, Body=data, **more)
        else:
            _s3().upload_fileobj(data, bucket, key, ExtraArgs=more)
        return
    except (BotoCoreError, ClientError, Boto3Error) as raised:
        error = type(raised).__name__
    raise Transient("FILES_UNAVAILABLE", error)  # outside: the text of AWS's error names account and bucket


def public_url(ctx: JobContext, key: str) -> str:
    """Where everybody can read an object below feeds/."""
    base = ctx.setting(PUBLIC_URL) or f"https://{_bucket(ctx)}.s3.amazonaws.com"
    return f"{base.rstrip('/')}/{key}"


def _bucket(ctx: JobContext) -> str:
    bucket = ctx.setting(BUCKET)
    if not bucket:
        raise Permanent("FILES_NOT_CONFIGURED", f"{BUCKET} is not set")
    return bucket


@lru_cache(maxsize=1)
def _s3() -> Any:
    from shared.jobs.aws import client

    return client("s3")
