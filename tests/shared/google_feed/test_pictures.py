"""Images of every kind: what they are, whether they may stay, and what a copy looks like."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from PIL import Image, ImageCms

from shared.events.google_feed import ImageOptions
from shared.google_feed import pictures
from shared.google_feed.pictures import Facts, NotAnImage, convert, findings, needs_copy, object_key, read
from tests.builders.google_feed import an_image

TODAY = date(2026, 11, 23)
JPG = "https://cdn.test/a.jpg"


def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def facts(**fields: Any) -> Facts:
    values: dict[str, Any] = {"format": "JPEG", "width": 1600, "height": 1600, "bytes": 300_000, "orientation": 1,
                              "alpha": False, "plain_colours": True, **fields}  # fmt: skip
    return Facts(**values)


@pytest.mark.parametrize(
    ("fields", "url", "needed"),
    [
        ({}, JPG, False),
        ({"format": "PNG"}, "https://cdn.test/a.png", False),
        ({"format": "WEBP"}, "https://cdn.test/a.webp?v=1", False),
        ({}, "https://cdn.test/a", False),
        ({"bytes": 4_194_304}, JPG, False),
        ({"bytes": 4_194_305}, JPG, True),
        ({"alpha": True}, JPG, True),
        ({"orientation": 3}, JPG, True),
        ({"plain_colours": False}, JPG, True),
        ({"format": "GIF"}, "https://cdn.test/a.gif", True),
        ({"format": "BMP"}, "https://cdn.test/a.bmp", True),
        ({"format": "TIFF"}, "https://cdn.test/a.tiff", True),
        ({"format": "AVIF"}, JPG, True),
        ({"format": "PNG"}, JPG, True),
        ({"width": 9000, "height": 8000}, JPG, True),
    ],
)
def test_when_a_copy_is_needed(fields: Any, url: str, needed: bool) -> None:
    assert needs_copy(facts(**fields), url) is needed


@pytest.mark.parametrize(
    ("fields", "url", "apparel", "expected"),
    [
        ({}, JPG, False, []),
        ({"width": 99}, JPG, False, ["size"]),
        ({"width": 200}, JPG, False, ["size"]),
        ({"width": 200}, JPG, True, ["size"]),
        ({"width": 799}, JPG, False, ["size"]),
        ({"format": "AVIF"}, JPG, False, ["format"]),
        ({"format": "PNG"}, JPG, False, ["format"]),
        ({"width": 9000, "height": 8000}, JPG, False, ["size"]),
        ({"bytes": 16_000_001}, JPG, False, ["size"]),
    ],
)
def test_findings(fields: Any, url: str, apparel: bool, expected: list[str]) -> None:
    found = findings(facts(**fields), url, apparel=apparel, today=TODAY)

    assert [each.type for each in found] == expected


@pytest.mark.parametrize(
    ("mode", "kind", "plain"),
    [("RGB", "JPEG", True), ("L", "JPEG", True), ("CMYK", "JPEG", False), ("P", "PNG", True), ("I;16", "PNG", False)],
)
def test_every_mode_becomes_srgb(mode: str, kind: str, plain: bool) -> None:
    data = saved(Image.new(mode, (1200, 900)), kind)

    assert read(data).plain_colours is plain
    copy = convert(data, ImageOptions(), least=100)
    image = Image.open(io.BytesIO(copy.data))
    assert (image.mode, image.size, image.format) == ("RGB", (1200, 900), "JPEG")


def test_colours_of_another_profile_are_brought_to_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    base = Image.new("RGB", (300, 300), (10, 200, 30))

    assert read(saved(base, "PNG", icc_profile=srgb)).plain_colours is True
    other = saved(base, "PNG", icc_profile=lab)
    assert read(other).plain_colours is False
    copy = Image.open(io.BytesIO(convert(other, ImageOptions(), least=100).data))
    assert "icc_profile" not in copy.info


@pytest.mark.parametrize(("colour", "used"), [((1, 2, 3, 255), False), ((1, 2, 3, 254), True)])
def test_alpha_counts_when_it_is_used(colour: tuple[int, ...], used: bool) -> None:
    assert read(an_image((200, 200), kind="PNG", colour=colour)).alpha is used


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_formats_that_know_transparency_keep_it(kind: Any) -> None:
    data = an_image((200, 200), kind="PNG", colour=(1, 2, 3, 0))

    copy = Image.open(io.BytesIO(convert(data, ImageOptions(format=kind), least=100).data))

    assert copy.convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((3000, 2000), (1500, 1500), (1500, 1000)),
        ((2000, 3000), (1500, 1500), (1000, 1500)),
        ((800, 600), (1500, 1500), (800, 600)),
        ((3000, 300), (1500, 1500), (2500, 250)),  # 1500 x 150 would be below what is asked for
        ((1000, 1000), (400, 200), (250, 250)),
    ],
    ids=["wide", "tall", "never larger", "not below the minimum", "small box"],
)
def test_size_of_a_copy(size: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]) -> None:
    options = ImageOptions(target_width=box[0], target_height=box[1])

    copy = convert(an_image(size, kind="PNG"), options, least=250)

    assert (copy.width, copy.height) == expected


def test_quality_falls_while_the_file_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    data = an_image((1000, 1000), noise=True, quality=95)
    best = len(convert(data, ImageOptions(quality=85), least=100).data)
    worst = len(convert(data, ImageOptions(quality=60), least=100).data)

    monkeypatch.setattr(pictures, "MAX_BYTES", worst)
    assert len(convert(data, ImageOptions(quality=85), least=100).data) == worst < best
    monkeypatch.setattr(pictures, "MAX_BYTES", 10)
    assert len(convert(data, ImageOptions(quality=85), least=100).data) == worst  # 60 is the floor


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"\xff\xd8\xff\xe0" + b"\0" * 50, b"\0" * 1000])
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        convert(data, ImageOptions(), least=100)


def test_key_is_a_function_of_address_and_options() -> None:
    one = object_key(JPG, None)

    assert one == object_key(JPG, ImageOptions())
    assert one != object_key(JPG, ImageOptions(quality=84))
    assert one != object_key("https://cdn.test/b.jpg", None)
    assert object_key(JPG, ImageOptions(format="webp")).endswith(".webp")
