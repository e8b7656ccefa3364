"""One image of a product: held against Google's requirements, and copied where the original does not meet them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from psycopg.types.json import Jsonb

from shared.events.base import Payload
from shared.events.google_feed import GoogleFeedImageOptimize, GoogleFeedProductUpdate, ImageOptions
from shared.google_feed import pictures
from shared.google_feed.attributes import USABLE
from shared.google_feed.catalogue import Product, products_by_key
from shared.google_feed.pictures import Copy, Facts, Finding, NotAnImage, TooLarge
from shared.google_feed.settings import FeedSettings, load_settings
from shared.google_feed.validation import apparel_category, minimum_side
from shared.ids import as_legacy_id, find_product
from shared.integrations import files
from shared.integrations.http import Http, Response
from shared.integrations.safe_fetch import safe_fetch
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, Transient, job, payload_hash
from shared.jobs.errors import JobError
from shared.jobs.queues import CATALOG_SYNC

VENDOR = "image-download"
SETTING_BASE_URL = "IMAGE_DOWNLOAD_BASE_URL"
"""Where images are fetched instead, as <base>/<host>/<path>: a developer's machine and tests. The address is checked as
ever before."""
DOWNLOAD_MAX_BYTES = 32 * 1024 * 1024
DOWNLOAD_TIMEOUT_S = 20.0
REDIRECTS = 3
GONE = (404, 410)
DONE = ("optimized", "approved", "disapproved")
"""States of an image that was prepared before."""

Outcome = Literal["optimized", "unchanged", "conforming", "failed"]

FIND = """
-- google feed: one image
SELECT status, optimized_url, optimized_width, optimized_height, original_width, original_height, original_size_bytes,
       optimized_size_bytes, jsonb_array_length(COALESCE(google_issues, '[]')) AS issues
FROM google_feed_images
WHERE shopify_product_id = %(product)s AND COALESCE(shopify_variant_id, '') = COALESCE(%(variant)s::text, '')
  AND md5(original_url) = md5(%(url)s)
"""

BEGIN = """
-- google feed: an image is being looked at
INSERT INTO google_feed_images AS i (
    shopify_product_id, shopify_variant_id, original_url, status, created_at, updated_at)
VALUES (%(product)s, %(variant)s, %(url)s, 'processing', %(now)s, %(now)s)
ON CONFLICT (shopify_product_id, COALESCE(shopify_variant_id, ''), md5(original_url)) DO UPDATE
SET status = 'processing', error_message = NULL, updated_at = excluded.updated_at
"""

FAIL = """
-- google feed: an image that cannot be used
UPDATE google_feed_images
SET status = 'failed', error_message = %(code)s, google_issues = COALESCE(%(issues)s, google_issues),
    original_width = COALESCE(%(width)s, original_width), original_height = COALESCE(%(height)s, original_height),
    original_size_bytes = COALESCE(%(bytes)s, original_size_bytes), updated_at = %(now)s
WHERE shopify_product_id = %(product)s AND COALESCE(shopify_variant_id, '') = COALESCE(%(variant)s::text, '')
  AND md5(original_url) = md5(%(url)s)
"""

FINISH = """
-- google feed: an image is ready
UPDATE google_feed_images
SET status = 'optimized', error_message = NULL, google_issues = %(issues)s, google_status = NULL,
    original_width = %(width)s, original_height = %(height)s, original_size_bytes = %(bytes)s,
    optimized_url = %(better)s, optimized_width = %(better_width)s, optimized_height = %(better_height)s,
    optimized_size_bytes = %(better_bytes)s, compression_applied = %(compressed)s, background_removed = false,
    format_converted = %(converted)s, optimized_at = %(now)s, updated_at = %(now)s
WHERE shopify_product_id = %(product)s AND COALESCE(shopify_variant_id, '') = COALESCE(%(variant)s::text, '')
  AND md5(original_url) = md5(%(url)s)
"""

BACKGROUND = Finding(
    "background",
    "The background was not removed: nobody who does that is connected.",
    "Upload a cut-out of the product.",
)


class ImageResult(Payload):
    """What became of the image. Pixels and bytes of what Google is shown; `issues` that were found."""

    outcome: Outcome
    width: int = 0
    height: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    issues: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """The image's row, and what its product asks for."""

    product: str
    variant: str | None
    url: str
    apparel: bool
    connected: bool
    before: Mapping[str, Any] | None

    @property
    def shown(self) -> str:
        """The address that the feed has shown so far: of a usable copy, else the image's own."""
        before = self.before
        usable = before is not None and before["status"] in USABLE and before["optimized_url"]
        return str(usable) if usable else self.url

    @property
    def columns(self) -> dict[str, Any]:
        """What names the row."""
        return {"product": self.product, "variant": self.variant, "url": self.url}


def run_key(payload: GoogleFeedImageOptimize, delivery: Delivery) -> str:
    """Content and message: an image whose source has changed, or that failed, is asked for by an equal message."""
    return f"{payload_hash(payload)}:{delivery.id}"


@job(
    "google-feed-image-optimize",
    on=GoogleFeedImageOptimize,
    queue=CATALOG_SYNC,
    emits=(GoogleFeedProductUpdate,),
    retry=Retry(attempts=3, factor=1, min_s=2, max_s=2),
    timeout_s=120,
    key=run_key,
    files=("feeds",),
)
def optimize_image(ctx: JobContext, payload: GoogleFeedImageOptimize) -> ImageResult:
    """Check one product image against Google's requirements and make a conforming copy where the original does not.

    Permanent: INVALID_IMAGE_URL, IMAGE_NOT_FOUND, NOT_AN_IMAGE, IMAGE_TOO_LARGE; transient: DOWNLOAD_FAILED,
    FILES_UNAVAILABLE. An image below the minimum is no error of the job: its row has failed.
    """
    parts = urlsplit(payload.image_url)
    if parts.scheme != "https" or not parts.hostname:
        raise Permanent("INVALID_IMAGE_URL", "only https addresses")
    with ctx.tenant_session(read_only=True) as session:
        subject = _subject(session, payload)
    if (known := _unchanged(ctx, subject, payload.options)) is not None:
        return known
    with ctx.tenant_session() as session:
        session.execute(BEGIN, {**subject.columns, "now": ctx.now()})
    data = _download(ctx, subject)
    try:
        facts = pictures.read(data)
        return _judge(ctx, subject, data, facts, payload.options)
    except NotAnImage:
        error = _failed(ctx, subject, "NOT_AN_IMAGE", size=None, count=len(data))
    except TooLarge as large:
        error = _failed(ctx, subject, "IMAGE_TOO_LARGE", size=large.size, count=len(data))
    raise error  # outside: the image library's error may quote the file


def _subject(session: Session, payload: GoogleFeedImageOptimize) -> Subject:
    row = find_product(session, payload.product_id)
    key = (row["legacy_id"] or row["id"]) if row else as_legacy_id(payload.product_id) or payload.product_id
    variant = payload.variant_id and (as_legacy_id(payload.variant_id) or payload.variant_id)
    settings, product = load_settings(session), products_by_key(session, [key]).get(key)
    columns = {"product": key, "variant": variant, "url": payload.image_url}
    return Subject(
        product=key,
        variant=variant,
        url=payload.image_url,
        apparel=_apparel(product, settings, variant),
        connected=settings is not None and settings.connected,
        before=session.one(FIND, columns),
    )


def _apparel(product: Product | None, settings: FeedSettings | None, variant: str | None) -> bool:
    """By Google's category, or, without one, by options named size and color."""
    if product is None:
        return False
    overrides = (product.overrides.get(variant or "", {}), product.overrides.get("", {}))
    own = next((str(o["google_category_id"]) for o in overrides if o.get("google_category_id")), "")
    category = own or (settings.categories.get(product.product_type or "", "") if settings else "")
    if category:
        return apparel_category(category)
    names = {name.strip().lower() for each in product.variants for name, _ in each.options}
    return "size" in names and bool(names & {"color", "colour"})


def _unchanged(ctx: JobContext, subject: Subject, options: ImageOptions | None) -> ImageResult | None:
    """The result of before, when the same was asked for and the source still has its size."""
    before = subject.before
    if before is None or before["status"] not in DONE or not before["optimized_url"]:
        return None
    same = before["optimized_url"].endswith(pictures.object_key(subject.url, options))
    if not same and not (options is None and before["optimized_url"] == subject.url):
        return None
    if _length(ctx, subject.url) != before["original_size_bytes"]:
        return None
    return ImageResult(
        outcome="unchanged",
        width=before["optimized_width"] or 0,
        height=before["optimized_height"] or 0,
        bytes_before=before["original_size_bytes"] or 0,
        bytes_after=before["optimized_size_bytes"] or 0,
        issues=before["issues"],
    )


def _length(ctx: JobContext, url: str) -> int | None:
    """Content-Length of the source; None when it cannot be said: then it is fetched as ever."""
    try:
        answer = _fetch(ctx, url, "HEAD")
    except JobError:
        return None
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


# -- download ----------------------------------------------------------------------------------------------------------


class _Elsewhere(Http):
    """The HTTP port with another host behind every address; what safe_fetch checks is still the address itself."""

    def __init__(self, http: Http, base: str) -> None:
        self._inner, self._elsewhere = http, base.rstrip("/")

    def request(self, method: str, url: str, *, address: str | None = None, **more: Any) -> Response:
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return self._inner.request(method, f"{self._elsewhere}/{parts.netloc}{parts.path}{query}", **more)


def _fetch(ctx: JobContext, url: str, method: Literal["GET", "HEAD"]) -> Response:
    base = ctx.setting(SETTING_BASE_URL)
    return safe_fetch(
        _Elsewhere(ctx.http, base) if base else ctx.http,
        url,
        max_bytes=DOWNLOAD_MAX_BYTES,
        redirects=REDIRECTS,
        vendor=VENDOR,
        timeout_s=DOWNLOAD_TIMEOUT_S,
        method=method,
    )


def _download(ctx: JobContext, subject: Subject) -> bytes:
    """The image's bytes. Raises what the job's docstring lists, the row having failed where nothing can help."""
    try:
        return _fetch(ctx, subject.url, "GET").body
    except JobError as error:
        found = error
    code = _code_of(found)
    if code != "DOWNLOAD_FAILED":
        raise _failed(ctx, subject, code, size=None, count=None)
    if ctx.last_attempt:
        _failed(ctx, subject, code, size=None, count=None)
    raise Transient(code, found.code)


def _code_of(error: JobError) -> str:
    """Our word for what the HTTP layer says."""
    if error.code == "IMAGE_DOWNLOAD_URL_NOT_ALLOWED":
        return "INVALID_IMAGE_URL"
    if error.code == "IMAGE_DOWNLOAD_ANSWER_TOO_LARGE":
        return "IMAGE_TOO_LARGE"
    gone = any(error.code == f"IMAGE_DOWNLOAD_HTTP_{status}" for status in GONE)
    return "IMAGE_NOT_FOUND" if gone else "DOWNLOAD_FAILED"


# -- verdict -----------------------------------------------------------------------------------------------------------


def _judge(ctx: JobContext, subject: Subject, data: bytes, facts: Facts, options: ImageOptions | None) -> ImageResult:
    today = ctx.now().astimezone(UTC).date()
    found = pictures.findings(facts, subject.url, apparel=subject.apparel, today=today)
    if pictures.too_small(facts, apparel=subject.apparel, today=today):
        _failed(ctx, subject, "IMAGE_TOO_SMALL", size=(facts.width, facts.height), count=facts.bytes, found=found)
        return ImageResult(outcome="failed", width=facts.width, height=facts.height, bytes_before=facts.bytes,
                           bytes_after=facts.bytes, issues=len(found))  # fmt: skip
    if options is not None and options.remove_background:
        found.append(BACKGROUND)
    if options is None and not pictures.needs_copy(facts, subject.url):
        return _ready(ctx, subject, facts, found, copy=None, url=subject.url)
    least = minimum_side(today, is_apparel=subject.apparel)
    wanted = options or ImageOptions()
    copy = pictures.convert(data, wanted, least=least)
    key = pictures.object_key(subject.url, options)
    files.put(ctx, key, copy.data, content_type=pictures.CONTENT_TYPES[copy.format], cache_control=files.ONE_YEAR)
    return _ready(ctx, subject, facts, found, copy=copy, url=files.public_url(ctx, key))


def _ready(
    ctx: JobContext, subject: Subject, facts: Facts, found: list[Finding], *, copy: Copy | None, url: str
) -> ImageResult:
    """Keep the result, and have the product sent when Google is to be shown another image."""
    width, height, size = (
        (copy.width, copy.height, len(copy.data)) if copy else (facts.width, facts.height, facts.bytes)
    )
    converted = copy.format if copy and copy.format.upper() != facts.format else None
    values = {
        **subject.columns,
        "issues": Jsonb([each.wire() for each in found]),
        "width": facts.width,
        "height": facts.height,
        "bytes": facts.bytes,
        "better": url,
        "better_width": width,
        "better_height": height,
        "better_bytes": size,
        "compressed": bool(copy and copy.compressed),
        "converted": converted,
        "now": ctx.now(),
    }
    with ctx.final_session() as session:
        session.execute(FINISH, values)
        if subject.connected and subject.shown != url:
            session.emit(
                GoogleFeedProductUpdate(product_id=subject.product, variant_id=subject.variant, action="update")
            )
    outcome: Outcome = "optimized" if copy else "conforming"
    return ImageResult(outcome=outcome, width=width, height=height, bytes_before=facts.bytes, bytes_after=size,
                       issues=len(found))  # fmt: skip


def _failed(
    ctx: JobContext,
    subject: Subject,
    code: str,
    *,
    size: tuple[int, int] | None,
    count: int | None,
    found: list[Finding] | None = None,
) -> Permanent:
    """The row has failed; the error for the caller to raise."""
    now: datetime = ctx.now()
    values = {
        **subject.columns,
        "code": code,
        "issues": None if found is None else Jsonb([each.wire() for each in found]),
        "width": size[0] if size else None,
        "height": size[1] if size else None,
        "bytes": count,
        "now": now,
    }
    with ctx.tenant_session() as session:
        session.execute(FAIL, values)
    return Permanent(code, "the image cannot be used")
