"""One product image against Google's requirements, and a copy that meets them. Pure: bytes in, facts and bytes out.

support.google.com/merchants/answer/6324350, looked at 2026-11. Pillow is imported where an image is opened: 25 ms and
some MB that no other job needs. An image is never scaled up, which Google forbids.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.events.google_feed import ImageOptions
from shared.google_feed.validation import RECOMMENDED_SIDE, minimum_side

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 64_000_000
"""Pixels that Google takes."""
READ_MAX_PIXELS = 100_000_000
"""Pixels that are decoded at all: about 300 MB in memory."""
MAX_BYTES = 16_000_000
KEEP_BYTES = 4 * 1024 * 1024
"""Bytes above which a file is encoded again."""
QUALITY_STEP = 5
QUALITY_FLOOR = 60
FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
"""Formats that Google takes, with the endings of their files."""
RECODED = ("GIF", "BMP", "TIFF")
"""Formats of which a copy is made always."""
ENDINGS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
CONTENT_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
OBJECT_PREFIX = "feeds/google/images"
ORIENTATION = 0x0112
"""EXIF tag."""


class NotAnImage(Exception):
    """The bytes are no image that can be read."""


class TooLarge(Exception):
    """More pixels than are decoded. `size`: width and height where the header gave them."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        super().__init__("too large")
        self.size = size


@dataclass(frozen=True, slots=True)
class Finding:
    """An entry of google_issues."""

    type: str
    description: str
    suggestion: str

    def wire(self) -> dict[str, str]:
        """As the column keeps it."""
        return {"type": self.type, "description": self.description, "suggestion": self.suggestion}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image is. Width and height in pixels as stored; `alpha`: something of it is transparent."""

    format: str
    width: int
    height: int
    bytes: int
    orientation: int
    alpha: bool
    plain_colours: bool
    """sRGB or grey."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A conforming copy."""

    data: bytes
    width: int
    height: int
    format: str
    """jpeg, png or webp."""
    compressed: bool


def read(data: bytes) -> Facts:
    """The facts of an image. Raises NotAnImage, TooLarge (from the header, before anything is decoded)."""
    image = _opened(data)
    if image.width * image.height > READ_MAX_PIXELS:
        raise TooLarge(image.size)
    try:
        orientation = int(image.getexif().get(ORIENTATION, 1) or 1)
        return Facts(
            format=str(image.format),
            width=image.width,
            height=image.height,
            bytes=len(data),
            orientation=orientation,
            alpha=_alpha_used(image),
            plain_colours=_plain_colours(image),
        )
    except (OSError, SyntaxError, ValueError, EOFError, TypeError) as error:
        raise NotAnImage from error  # the header was good, the rest is not


def too_small(facts: Facts, *, apparel: bool, today: date) -> bool:
    """Whether the image is below the minimum of its kind and day."""
    return min(facts.width, facts.height) < minimum_side(today, is_apparel=apparel)


def findings(facts: Facts, url: str, *, apparel: bool, today: date) -> list[Finding]:
    """What Google would say of the original."""
    found: list[Finding] = []
    size, least = f"{facts.width} x {facts.height} pixels", minimum_side(today, is_apparel=apparel)
    if min(facts.width, facts.height) < least:
        found.append(
            Finding("size", f"The image has {size}; {least} x {least} are asked for.", "Upload a larger image.")
        )
    elif min(facts.width, facts.height) < RECOMMENDED_SIDE:
        text = f"Warning: the image has {size}; below {RECOMMENDED_SIDE} x {RECOMMENDED_SIDE} it is shown less well."
        found.append(Finding("size", text, "Upload an image of 1500 x 1500 pixels."))
    if facts.format not in FORMATS:
        found.append(Finding("format", f"{facts.format} is no format that Google takes.", "Use JPEG, PNG or WebP."))
    elif not ending_fits(url, facts.format):
        text = f"The address does not end as a {facts.format} file should."
        found.append(Finding("format", text, "Give the file the ending of its format."))
    if facts.width * facts.height > MAX_PIXELS or facts.bytes > MAX_BYTES:
        text = f"The image has {size} and {facts.bytes} bytes; 64 megapixels and 16 MB are the limit."
        found.append(Finding("size", text, "A smaller copy was made."))
    return found


def ending_fits(url: str, kind: str) -> bool:
    """Whether the ending of an address fits the format; without an ending of an image nothing is said."""
    ending = PurePosixPath(urlsplit(url).path).suffix.lower()
    known = {each for endings in FORMATS.values() for each in endings}
    return ending not in known or ending in FORMATS.get(kind, ())


def needs_copy(facts: Facts, url: str) -> bool:
    """Whether the original cannot stay as it is."""
    return (
        facts.bytes > KEEP_BYTES
        or facts.alpha
        or facts.orientation != 1
        or not facts.plain_colours
        or facts.format in RECODED
        or facts.format not in FORMATS
        or facts.width * facts.height > MAX_PIXELS
        or not ending_fits(url, facts.format)
    )


def object_key(url: str, options: ImageOptions | None) -> str:
    """Where the copy of an image lies: a function of address and options, a second run writes the same object."""
    wanted = options or ImageOptions()
    canonical = json.dumps(wanted.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":"))
    name = hashlib.sha256((url + canonical).encode()).hexdigest()[:32]
    return f"{OBJECT_PREFIX}/{name}.{ENDINGS[wanted.format]}"


def convert(data: bytes, options: ImageOptions, *, least: int) -> Copy:
    """A copy: upright, in sRGB, without metadata, within the box, encoded. `least`: pixels that no side goes below.

    Raises NotAnImage.
    """
    try:
        image = _prepared(data, options)
        image = _shrunk(image, options, least)
        quality = options.quality
        encoded = _encoded(image, options.format, quality)
        while len(encoded) > MAX_BYTES and quality - QUALITY_STEP >= QUALITY_FLOOR:
            quality -= QUALITY_STEP
            encoded = _encoded(image, options.format, quality)
    except (OSError, SyntaxError, ValueError, EOFError, TypeError) as error:
        raise NotAnImage from error
    return Copy(encoded, image.width, image.height, options.format, compressed=len(encoded) < len(data))


# -- Pillow ------------------------------------------------------------------------------------------------------------


def _opened(data: bytes) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise TooLarge(None) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError):
        raise NotAnImage from None


def _alpha_used(image: Picture) -> bool:
    """Whether any pixel is transparent; only images with an alpha channel are decoded for it."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return False
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(isinstance(low, int | float) and low < 255)


def _plain_colours(image: Picture) -> bool:
    if image.mode not in ("RGB", "RGBA", "L", "LA", "P", "1", "PA"):
        return False
    profile = image.info.get("icc_profile")
    return not profile or image.mode in ("L", "LA", "1") or _is_srgb(profile)


def _is_srgb(profile: bytes) -> bool:
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return "srgb" in ImageCms.getProfileDescription(opened).lower()
    except (ImageCms.PyCMSError, OSError):
        return False


def _prepared(data: bytes, options: ImageOptions) -> Picture:
    """Upright, sRGB, flattened where the format knows no transparency, without any metadata."""
    from PIL import Image, ImageOps

    image = _opened(data)
    side = max(options.target_width, options.target_height)
    if image.format == "JPEG":
        image.draft(None, (side, side))  # decodes a large JPEG at an eighth, a quarter or half of its size
    profile = image.info.get("icc_profile")
    image = _eight_bits(ImageOps.exif_transpose(image))
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    if profile and not _is_srgb(profile):
        image = _to_srgb(image, profile)
    image = image.convert("RGBA" if transparent else "RGB")
    if transparent and options.format == "jpeg":
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    image.info.clear()
    return image


def _eight_bits(image: Picture) -> Picture:
    """Images of 16 bits per channel lose the lower eight."""
    if image.mode.startswith("I") or image.mode == "F":
        return image.convert("F").point(lambda value: value / 256).convert("L")
    return image


def _to_srgb(image: Picture, profile: bytes) -> Picture:
    """Colours by the profile that came with the image; one that cannot be used is passed over."""
    from PIL import ImageCms

    try:
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        flat = image.convert("RGB") if image.mode in ("RGBA", "P", "PA") else image
        converted = ImageCms.profileToProfile(flat, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if converted is None:
        return image
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _shrunk(image: Picture, options: ImageOptions, least: int) -> Picture:
    """Within the box, keeping the proportion; not below what Google asks for, and never larger than before."""
    from PIL import Image

    scale = min(1.0, options.target_width / image.width, options.target_height / image.height)
    scale = min(1.0, max(scale, least / min(image.size)))
    if scale == 1.0:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _encoded(image: Picture, kind: str, quality: int) -> bytes:
    out = io.BytesIO()
    how: dict[str, Any] = {
        "jpeg": {"format": "JPEG", "quality": quality, "optimize": True, "progressive": True},
        "webp": {"format": "WEBP", "quality": quality},
        "png": {"format": "PNG", "optimize": True},
    }[kind]
    image.save(out, **how)
    return out.getvalue()
