"""Pictures from strangers, made into pictures that may be stored and passed on. No Django.

Whatever a file calls itself, it is decoded and drawn anew: what is not the picture (EXIF with its
places, colour profiles, comments, thumbnails, a web page behind the last byte) does not survive
that. All dialects and all servers take what comes out: RGB with 8 bits, as PNG or JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import ExifTags, Image

MAX_BYTES = 5_000_000  # of a file as it comes
# A file of some kilobytes may decode to gigabytes. While it is read, this many take some 300 MB.
MAX_PIXELS = 25_000_000
MAX_SIDE = 1568  # pixels; the models that read images scale larger ones down themselves
MAX_PNG = 1_500_000  # bytes; what is larger as a PNG is a photograph
JPEG_QUALITY = 90

PNG, JPEG = "image/png", "image/jpeg"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
EXTENSIONS = {PNG: "png", JPEG: "jpg"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by what EXIF calls the orientation


class BadImage(Exception):
    """A file that cannot be taken: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Picture:
    content_type: str
    data: bytes
    width: int
    height: int
    was_animated: bool = False  # the first picture of an animation


def clean(data: bytes) -> Picture:
    """The picture in this file, upright, without anything else. Raises BadImage."""
    if not data:
        raise BadImage("image_empty", "This file is empty.")
    if len(data) > MAX_BYTES:
        raise BadImage(
            "image_too_large",
            f"This image has {len(data) / 1e6:.1f} MB; at most {MAX_BYTES / 1e6:.0f} MB are "
            "possible. Please make it smaller.",
        )
    try:
        image = _open(data)
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        photograph = image.format in ("JPEG", "MPO")
        drawn = _draw(image)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:  # a decoder may raise anything for a file made to confuse it
        raise BadImage(
            "image_damaged", "This image is damaged and cannot be read. Please choose another."
        ) from None
    content_type, encoded = _encode(drawn, photograph)
    return Picture(content_type, encoded, drawn.width, drawn.height, animated)


def plain(colour: str, side: int = 64) -> Picture:
    """A square of one colour."""
    content_type, encoded = _encode(Image.new("RGB", (side, side), colour), photograph=False)
    return Picture(content_type, encoded, side, side)


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise BadImage(
            "not_an_image",
            "This is not a PNG, JPEG, WebP or GIF image, whatever its name says.",
        ) from None
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    return image


def _too_many_pixels() -> BadImage:
    return BadImage(
        "image_too_many_pixels",
        f"This image has more than {MAX_PIXELS // 1_000_000} million pixels. "
        "Please make it smaller.",
    )


def _draw(image: Image.Image) -> Image.Image:
    """A new picture of the first frame: upright, small enough, on white where it is transparent."""
    image.draft(None, (MAX_SIDE, MAX_SIDE))  # a JPEG can be decoded at a fraction of its size
    image.load()
    turn = _turn(image)
    image = _eight_bits(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    if turn is not None:
        image = image.transpose(turn)
    fresh = Image.new("RGB", image.size, "white")
    fresh.paste(image, mask=image if image.mode == "RGBA" else None)
    return fresh


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to set the picture upright. Nonsense in its metadata is no reason to refuse it."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # like a decoder, a reader of metadata may raise anything
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """Sixteen bits of grey, which a plain conversion would turn to white above the first 256."""
    if image.mode.startswith("I"):
        return image.point(lambda value: value * (1 / 256)).convert("L")
    return image


def _encode(image: Image.Image, photograph: bool) -> tuple[str, bytes]:
    """Without loss, as letters and lines need it, unless it is a photograph."""
    if not photograph:
        encoded = io.BytesIO()
        image.save(encoded, "PNG")
        if encoded.tell() <= MAX_PNG:
            return PNG, encoded.getvalue()
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return JPEG, encoded.getvalue()
