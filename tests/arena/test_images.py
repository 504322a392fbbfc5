"""What strangers upload, and what is left of it. Every file is made here."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image, ImageDraw, ImageOps, PngImagePlugin

from arena.images import MAX_BYTES, MAX_PNG, MAX_SIDE, BadImage, clean

RED, BLUE = (200, 30, 40), (20, 40, 210)


def picture(width=60, height=40, mode="RGB", colour=RED):
    return Image.new(mode, (width, height), colour)


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def shown(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def close(one, other, by=12):
    return all(abs(a - b) <= by for a, b in zip(one, other, strict=True))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_says(width, height, *, depth=8, colour_type=2, rows=b""):
    """A PNG with any header, and pixels that need not fit it."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def noise(width, height):
    return Image.frombytes("RGB", (width, height), random.Random(7).randbytes(3 * width * height))


@pytest.mark.parametrize(
    ("form", "content_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/png"), ("GIF", "image/png")],
)
def test_the_known_kinds_are_taken_by_their_content(form, content_type):
    cleaned = clean(saved(picture(), form))
    assert (cleaned.content_type, cleaned.width, cleaned.height) == (content_type, 60, 40)
    assert shown(cleaned.data).format == content_type.partition("/")[2].upper()
    assert close(shown(cleaned.data).getpixel((30, 20)), RED)
    assert not cleaned.was_animated


def photograph_with_a_place():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter, as a phone held upright writes it
    exif[0x010F] = "Camera Maker"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)  # GPSLatitude
    image = picture(80, 40)
    ImageDraw.Draw(image).rectangle((0, 0, 39, 39), fill=BLUE)  # the left half
    return saved(
        image, "JPEG", exif=exif, comment=b"at home", icc_profile=b"profile of a camera", quality=95
    )


def test_metadata_is_gone_and_the_orientation_applied_first():
    original = photograph_with_a_place()
    assert dict(shown(original).getexif().get_ifd(0x8825)) == {2: (48.0, 51.0, 29.0)}
    cleaned = clean(original)
    image = shown(cleaned.data)
    assert (cleaned.width, cleaned.height) == image.size == (40, 80)
    assert close(image.getpixel((20, 15)), BLUE)
    assert close(image.getpixel((20, 65)), RED)
    assert not image.getexif()
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    for secret in (b"Exif", b"Camera Maker", b"at home", b"profile of a camera"):
        assert secret in original
        assert secret not in cleaned.data


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_the_one_that_a_viewer_shows(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(32, 16)
    ImageDraw.Draw(image).rectangle((0, 0, 7, 7), fill=BLUE)
    data = saved(image, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(shown(data)).convert("RGB")
    assert shown(clean(data).data).tobytes() == expected.tobytes()


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_orientation_is_applied_whatever_the_kind(form):
    exif = Image.Exif()
    exif[0x0112] = 8
    cleaned = clean(saved(picture(50, 20), form, exif=exif))
    assert (cleaned.width, cleaned.height) == (20, 50)
    assert not shown(cleaned.data).getexif()


def test_texts_and_profiles_of_a_png_are_gone():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Somebody by name")
    texts.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>home address</x:xmpmeta>")
    original = saved(picture(), "PNG", pnginfo=texts, icc_profile=b"p" * 200, dpi=(300, 300))
    cleaned = clean(original)
    assert b"Somebody by name" in original
    assert shown(cleaned.data).info == {}
    kinds = set()
    at = 8
    while at < len(cleaned.data):
        (length,) = struct.unpack(">I", cleaned.data[at : at + 4])
        kinds.add(cleaned.data[at + 4 : at + 8])
        at += 12 + length
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_what_hangs_behind_a_picture_is_gone(form):
    page = b"<html><script>alert(1)</script></html>PK\x03\x04"
    cleaned = clean(saved(picture(), form) + page)
    assert b"script" not in cleaned.data
    assert b"PK\x03\x04" not in cleaned.data


def test_a_script_in_a_comment_is_gone():
    cleaned = clean(saved(picture(), "JPEG", comment=b"*/=1;alert(1)/*"))
    assert b"alert" not in cleaned.data


def test_a_large_image_is_scaled_down_and_a_small_one_left():
    wide = clean(saved(picture(4000, 1000), "PNG"))
    assert (wide.width, wide.height) == (MAX_SIDE, MAX_SIDE // 4)
    tall = clean(saved(picture(900, 3600), "JPEG"))
    assert (tall.width, tall.height) == (MAX_SIDE // 4, MAX_SIDE)
    thin = clean(saved(picture(1, 20_000), "PNG"))
    assert (thin.width, thin.height) == (1, MAX_SIDE)
    assert clean(saved(picture(1, 1), "GIF")).width == 1


def test_transparent_means_white():
    image = picture(20, 20, "RGBA", (0, 0, 0, 0))
    for form in ("PNG", "WEBP"):
        assert shown(clean(saved(image, form)).data).getpixel((10, 10)) == (255, 255, 255)
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([10, 20, 30] + [0] * 765)
    assert shown(clean(saved(palette, "GIF", transparency=0)).data).getpixel((3, 3)) == (
        255,
        255,
        255,
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_mode_of_a_png_is_taken(mode):
    cleaned = clean(saved(picture().convert("RGBA").convert(mode), "PNG"))
    assert shown(cleaned.data).mode == "RGB"


def test_sixteen_bits_of_grey_keep_their_greys():
    image = Image.new("I;16", (16, 16), 0x8000)
    assert close(shown(clean(saved(image, "PNG")).data).getpixel((8, 8)), (128, 128, 128), by=1)


def test_sixteen_bits_of_colour_are_taken():
    row = b"\0" + struct.pack(">HHH", 0xC800, 0x1E00, 0x2800) * 4
    cleaned = clean(png_that_says(4, 4, depth=16, rows=row * 4))
    assert close(shown(cleaned.data).getpixel((1, 1)), (200, 30, 40), by=2)


def test_print_colours_are_taken():
    cleaned = clean(saved(picture(mode="CMYK", colour=(0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = shown(cleaned.data).getpixel((30, 20))
    assert red > 150
    assert green < 90
    assert blue < 90


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_taken_and_said(form):
    data = saved(
        picture(), form, save_all=True, append_images=[picture(colour=BLUE)] * 3, duration=90
    )
    cleaned = clean(data)
    assert cleaned.was_animated
    image = shown(cleaned.data)
    assert not getattr(image, "is_animated", False)
    assert close(image.getpixel((30, 20)), RED)


def test_a_photograph_as_png_becomes_a_jpeg():
    data = saved(noise(900, 900), "PNG")
    assert MAX_PNG < len(data) < MAX_BYTES
    cleaned = clean(data)
    assert cleaned.content_type == "image/jpeg"
    assert len(cleaned.data) < len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7\n",
        b"GIF89a",
        b"\x00" * 64,
        saved(picture(), "BMP"),
        saved(picture(), "TIFF"),
        saved(picture(), "ICO"),
        b"II*\x00" + b"\xff\xd8\xff" * 9,
    ],
    ids=["svg", "html", "pdf", "gif-head", "zeros", "bmp", "tiff", "ico", "tiff-with-jpeg"],
)
def test_what_is_no_picture_of_the_known_kinds_is_refused(data):
    with pytest.raises(BadImage) as refused:
        clean(data)
    assert refused.value.code == "not_an_image"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_half_a_file_is_refused(form, part):
    data = saved(noise(120, 90), form)
    with pytest.raises(BadImage) as refused:
        clean(data[: int(len(data) * part)])
    assert refused.value.code == "image_damaged"


def test_an_empty_file_and_a_huge_one_are_refused():
    with pytest.raises(BadImage) as refused:
        clean(b"")
    assert refused.value.code == "image_empty"
    with pytest.raises(BadImage, match=r"5\.0 MB; at most 5 MB") as refused:
        clean(saved(picture(), "PNG") + b"\0" * MAX_BYTES)
    assert refused.value.code == "image_too_large"


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (11_000, 9_000), (5_000, 5_001), (2**31 - 1, 1)]
)
def test_a_bomb_is_refused_before_it_is_decoded(width, height):
    with pytest.raises(BadImage) as refused:
        clean(png_that_says(width, height, rows=b"\0" * 1000))
    assert refused.value.code == "image_too_many_pixels"


def test_a_bomb_as_a_gif_is_refused():
    data = bytearray(saved(picture(), "GIF"))
    data[6:10] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(BadImage) as refused:
        clean(bytes(data))
    assert refused.value.code == "image_too_many_pixels"


def test_a_bomb_in_a_text_is_refused_or_left_out():
    head, end = saved(picture(), "PNG")[:33], saved(picture(), "PNG")[33:]
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 80_000_000))
    with pytest.raises(BadImage) as refused:
        clean(head + bomb + end)
    assert refused.value.code == "image_damaged"


def test_metadata_as_large_as_it_may_be_is_left_out():
    exif = Image.Exif()
    exif[0x9286] = b"x" * 60_000  # UserComment
    cleaned = clean(saved(picture(), "JPEG", exif=exif))
    assert len(cleaned.data) < 5_000


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_nonsense_in_the_metadata_is_no_reason_to_refuse_a_picture():
    for nonsense in (b"Exif\0\0" + b"\xff" * 50, b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0"):
        cleaned = clean(saved(picture(), "JPEG", exif=nonsense))
        assert (cleaned.width, cleaned.height) == (60, 40)


def test_a_damaged_file_is_refused_or_cleaned_and_never_raises_anything_else():
    rng = random.Random(11)
    outcomes = set()
    for form in ("PNG", "JPEG", "WEBP", "GIF"):
        data = saved(noise(40, 30), form)
        for _ in range(60):
            broken = bytearray(data)
            for _ in range(rng.randint(1, 12)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            try:
                outcomes.add(shown(clean(bytes(broken)).data).mode)
            except BadImage as error:
                outcomes.add(error.code)
    assert "image_damaged" in outcomes
    assert "RGB" in outcomes
