"""One image, downloaded from a server of images, converted, put into a bucket in memory."""

from __future__ import annotations

import io
import json
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from shared.events.google_feed import GoogleFeedImageOptimize, ImageOptions
from shared.google_feed.pictures import object_key
from shared.jobs.testing import Deliver, ManualClock
from tests.builders.google_feed import a_feed, a_product, an_image
from tests.builders.pictures import Pictures
from tests.conftest import Rows
from tests.functions.commerce.google_feed.conftest import BUCKET

JOB = "google-feed-image-optimize"
URL = "https://cdn.acme.test/11.jpg"


def optimize(url: str = URL, options: ImageOptions | None = None) -> GoogleFeedImageOptimize:
    return GoogleFeedImageOptimize(product_id="11", image_url=url, options=options)


def stored(bucket: Any) -> dict[str, Any]:
    """Key -> object, as S3 answers it."""
    keys = [each["Key"] for each in bucket.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: bucket.get_object(Bucket=BUCKET, Key=key) for key in keys}


def opened(stored: dict[str, Any]) -> Image.Image:
    """The one image in the bucket."""
    [found] = stored.values()
    return Image.open(io.BytesIO(found["Body"].read()))


@pytest.fixture(autouse=True)
def product(rows: Rows) -> None:
    a_product(rows, 11)


def test_transparent_png_becomes_a_jpeg_on_white(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    a_feed(rows)
    data = an_image((3000, 2000), kind="PNG", colour=(250, 0, 0, 0), noise=True)
    assert len(data) > 4_500_000
    url = images.put("https://cdn.acme.test/11.png", data, "image/png")

    done = deliver(optimize(url))

    assert {name: done.result[name] for name in ("outcome", "width", "height")} == {
        "outcome": "optimized", "width": 1500, "height": 1000,
    }  # fmt: skip
    assert done.result["bytesAfter"] < done.result["bytesBefore"] == len(data)
    found = stored(bucket)
    [(key, item)] = found.items()
    assert (item["ContentType"], item["CacheControl"]) == ("image/jpeg", "public, max-age=31536000, immutable")
    image = opened(found)
    assert (image.format, image.size, image.info.get("exif"), image.info.get("icc_profile")) == (
        "JPEG", (1500, 1000), None, None,
    )  # fmt: skip
    assert image.convert("RGB").getpixel((700, 500)) == (255, 255, 255)
    [row] = rows("SELECT * FROM google_feed_images")
    assert (row["status"], row["optimized_url"]) == ("optimized", f"https://files.cgk.test/{key}")
    assert (row["original_width"], row["optimized_width"], row["format_converted"]) == (3000, 1500, "jpeg")
    [(name, event)] = done.emitted
    assert (name, event["productId"], event["action"]) == ("googleFeed.productUpdate", "11", "update")


def test_conforming_image_is_left_as_it_is(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    a_feed(rows)
    images.put(URL, an_image((1200, 1200), noise=True, quality=60))

    done = deliver(optimize())

    assert done.result["outcome"] == "conforming"
    assert done.emitted == []
    assert stored(bucket) == {}
    [row] = rows("SELECT status, optimized_url FROM google_feed_images")
    assert row == {"status": "optimized", "optimized_url": URL}


@pytest.mark.parametrize(
    ("size", "today", "outcome", "issues"),
    [
        ((90, 90), "2026-11-23", "failed", 1),
        ((300, 300), "2026-11-23", "conforming", 1),
        ((300, 300), "2027-02-01", "failed", 1),
        ((900, 900), "2027-02-01", "conforming", 0),
    ],
)
def test_least_size_of_the_day(
    rows: Rows,
    images: Pictures,
    deliver: Deliver,
    clock: ManualClock,
    size: tuple[int, int],
    today: str,
    outcome: str,
    issues: int,
) -> None:
    clock.advance(s=(datetime.fromisoformat(today).replace(tzinfo=UTC) - clock.now()).total_seconds())
    images.put(URL, an_image(size))

    done = deliver(optimize())

    assert (done.result["outcome"], done.result["issues"]) == (outcome, issues)
    [row] = rows("SELECT status, error_message, google_issues AS found FROM google_feed_images")
    assert row["error_message"] == ("IMAGE_TOO_SMALL" if outcome == "failed" else None)
    assert row["status"] == ("failed" if outcome == "failed" else "optimized")
    assert [each["type"] for each in row["found"]] == ["size"] * issues


def test_apparel_needs_larger_images(rows: Rows, images: Pictures, deliver: Deliver) -> None:
    options = [{"name": "Size", "value": "M"}, {"name": "Colour", "value": "Red"}]
    rows.execute("UPDATE product_variants SET selected_options = %s::jsonb", (json.dumps(options),))
    images.put(URL, an_image((200, 300)))

    assert deliver(optimize()).result["outcome"] == "failed"


def test_orientation_is_applied(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    images.put(URL, an_image((800, 600), orientation=6))

    done = deliver(optimize())

    assert (done.result["width"], done.result["height"]) == (600, 800)
    assert opened(stored(bucket)).size == (600, 800)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/x", "https://169.254.169.254/x", "https://inside.acme.test/x.jpg", "https://127.0.0.1/x"],
)
def test_address_inside_is_refused(images: Pictures, bucket: Any, deliver: Deliver, url: str) -> None:
    images.hosts["inside.acme.test"] = "10.0.0.5"

    assert deliver(optimize(url), expect="dead").code == "INVALID_IMAGE_URL"
    assert images.asked == []


def test_redirect_inside_is_refused(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    images.redirects["cdn.acme.test/11.jpg"] = "https://10.0.0.5/secret"

    assert deliver(optimize(), expect="dead").code == "INVALID_IMAGE_URL"
    assert images.asked == [("GET", "cdn.acme.test/11.jpg")]
    assert rows("SELECT status FROM google_feed_images") == [{"status": "failed"}]


def test_page_instead_of_an_image(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    images.put(URL, b"<html>Sorry</html>", "text/html")

    assert deliver(optimize(), expect="dead").code == "NOT_AN_IMAGE"
    assert rows("SELECT status, error_message FROM google_feed_images") == [
        {"status": "failed", "error_message": "NOT_AN_IMAGE"}
    ]


def test_image_that_is_cut(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    data = an_image((1000, 1000), noise=True, orientation=6)
    images.put(URL, data[: len(data) // 3])

    assert deliver(optimize(), expect="dead").code == "NOT_AN_IMAGE"


@pytest.mark.parametrize("status", [404, 410])
def test_image_that_is_gone(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver, status: int) -> None:
    images.statuses["cdn.acme.test/11.jpg"] = status

    assert deliver(optimize(), expect="dead").code == "IMAGE_NOT_FOUND"
    assert rows("SELECT error_message FROM google_feed_images") == [{"error_message": "IMAGE_NOT_FOUND"}]


def test_server_that_fails_is_asked_again(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    images.statuses["cdn.acme.test/11.jpg"] = 500

    assert deliver(optimize(), expect="retrying").code == "DOWNLOAD_FAILED"
    assert rows("SELECT status FROM google_feed_images") == [{"status": "processing"}]


def test_too_many_pixels_are_not_decoded(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    """The header of a PNG says 20,000 x 6,000; there is no more of it than the header."""
    size = (20_000).to_bytes(4, "big") + (6_000).to_bytes(4, "big")
    head = b"IHDR" + size + b"\x08\x02\0\0\0"
    start = b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + zlib.crc32(head).to_bytes(4, "big")
    images.put(URL, start + (1_000).to_bytes(4, "big") + b"IDAT" + b"\0" * 64)

    assert deliver(optimize(), expect="dead").code == "IMAGE_TOO_LARGE"
    assert rows("SELECT original_width AS w, original_height AS h FROM google_feed_images") == [{"w": 20000, "h": 6000}]


@pytest.mark.parametrize(
    "options", [{"quality": 120}, {"targetWidth": 50}, {"format": "gif"}], ids=["quality", "width", "format"]
)
def test_wrong_options(deliver: Deliver, options: dict[str, Any]) -> None:
    done = deliver.job(JOB, {"productId": "11", "imageUrl": URL, "options": options}, expect="dead")

    assert done.code == "INVALID_PAYLOAD"


def test_same_message_twice(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    images.put(URL, an_image((800, 600), orientation=6))
    options = ImageOptions(target_width=400, target_height=400, format="webp", quality=70)
    first = deliver(optimize(options=options))
    rows.execute("UPDATE google_feed_images SET status = 'approved'")

    second = deliver(optimize(options=options))

    assert (first.result["outcome"], second.result["outcome"]) == ("optimized", "unchanged")
    assert images.asked[-1][0] == "HEAD"
    [(key, item)] = stored(bucket).items()
    assert item["ContentType"] == "image/webp"
    assert key.startswith("feeds/google/images/")
    assert len(key.rsplit("/", 1)[-1]) == 32 + len(".webp")
    assert rows("SELECT status FROM google_feed_images") == [{"status": "approved"}]

    images.put(URL, an_image((900, 600), orientation=6))
    assert deliver(optimize(options=options)).result["outcome"] == "optimized"
    assert len(stored(bucket)) == 1


@pytest.mark.parametrize(
    ("status", "shown", "orientation", "told"),
    [
        ("failed", "copy", 6, True),
        ("approved", "copy", 6, False),
        ("optimized", "other", None, True),
        ("failed", "other", None, False),
    ],
    ids=["copy is shown again", "same copy", "original instead of a copy", "original as before"],
)
def test_product_is_sent_when_the_feed_shows_another_image(
    rows: Rows,
    images: Pictures,
    bucket: Any,
    deliver: Deliver,
    status: str,
    shown: str,
    orientation: int | None,
    told: bool,
) -> None:
    a_feed(rows)
    images.put(URL, an_image((900, 900), orientation=orientation))
    copy = f"https://files.cgk.test/{object_key(URL, None)}"
    rows.execute(
        "INSERT INTO google_feed_images (shopify_product_id, original_url, status, optimized_url, original_size_bytes)"
        " VALUES ('11', %s, %s, %s, 1)",
        (URL, status, copy if shown == "copy" else "https://files.cgk.test/other.jpg"),
    )

    done = deliver(optimize())

    assert [name for name, _ in done.emitted] == (["googleFeed.productUpdate"] if told else [])


def test_background_is_not_removed(rows: Rows, images: Pictures, bucket: Any, deliver: Deliver) -> None:
    images.put(URL, an_image((1200, 1200)))

    done = deliver(optimize(options=ImageOptions(remove_background=True)))

    assert done.result["outcome"] == "optimized"
    [row] = rows("SELECT background_removed, google_issues AS found FROM google_feed_images")
    assert row["background_removed"] is False
    assert [each["type"] for each in row["found"]] == ["background"]
