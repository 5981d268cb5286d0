"""Images as grey pages: every kind of pixel, and everything that is no page."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.ocr.image import GreyPage, read_page

SIZE = (6, 4)
LEFT, RIGHT = 200, 30


def two_tone() -> Image.Image:
    """Left half light, right half dark."""
    page = Image.new("L", SIZE, LEFT)
    page.paste(RIGHT, (3, 0, 6, 4))
    return page


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def id_of(value: object) -> str | None:
    """No bytes in the names of cases."""
    return "" if isinstance(value, bytes) else None


def decode(tmp_path: Path, data: bytes) -> GreyPage:
    path = tmp_path / "blob"
    path.write_bytes(data)
    return read_page(path, "page.png")


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(two_tone()).astype(np.uint16) * 256 + 3)


def with_alpha() -> Image.Image:
    """Black everywhere, but the left half cannot be seen."""
    page = Image.new("RGBA", SIZE, (0, 0, 0, 255))
    page.paste((0, 0, 0, 0), (0, 0, 3, 4))
    return page


def with_transparent_colour() -> Image.Image:
    page = Image.new("P", SIZE, 0)
    page.putpalette([0, 0, 0, 30, 30, 30])
    page.paste(1, (3, 0, 6, 4))
    page.info["transparency"] = 0
    return page


@pytest.mark.parametrize(
    ("data", "left", "right"),
    [
        (saved(two_tone(), "PNG"), LEFT, RIGHT),
        (saved(two_tone().convert("RGB"), "PNG"), LEFT, RIGHT),
        (saved(two_tone(), "JPEG", quality=100), LEFT, RIGHT),
        (saved(two_tone().convert("CMYK"), "JPEG", quality=100), LEFT, RIGHT),
        (saved(two_tone().convert("RGB"), "JPEG", quality=100, progressive=True), LEFT, RIGHT),
        (saved(two_tone(), "TIFF", compression="tiff_lzw"), LEFT, RIGHT),
        (saved(two_tone(), "WEBP", lossless=True), LEFT, RIGHT),
        (saved(two_tone(), "BMP"), LEFT, RIGHT),
        (saved(two_tone().convert("1"), "TIFF"), 255, 0),
        (saved(two_tone().convert("P"), "PNG"), LEFT, RIGHT),
        (saved(two_tone().convert("LA"), "PNG"), LEFT, RIGHT),
        (saved(sixteen_bits(), "PNG"), LEFT, RIGHT),
        (saved(sixteen_bits(), "TIFF"), LEFT, RIGHT),
        (saved(two_tone().convert("I"), "TIFF"), 255, 0),
        (saved(two_tone().convert("F"), "TIFF"), 255, 0),
        (saved(Image.new("F", SIZE, float("nan")), "TIFF"), 0, 0),
        (saved(with_alpha(), "PNG"), 255, 0),
        (saved(with_alpha(), "WEBP", lossless=True), 255, 0),
        (saved(with_transparent_colour(), "PNG", transparency=0), 255, 30),
    ],
    ids=id_of,
)
def test_every_kind_of_pixel_becomes_grey(tmp_path: Path, data: bytes, left: int, right: int) -> None:
    page = decode(tmp_path, data)
    assert (page.width, page.height, len(page.pixels)) == (6, 4, 24)
    assert page.pixels[0] == pytest.approx(left, abs=6)
    assert page.pixels[5] == pytest.approx(right, abs=6)


def test_of_several_pages_the_first_is_read(tmp_path: Path) -> None:
    second = Image.new("L", (9, 9), 0)
    page = decode(tmp_path, saved(two_tone(), "TIFF", save_all=True, append_images=[second]))
    assert (page.width, page.height) == SIZE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_every_page_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("L", SIZE, 255)
    upright.putpixel((0, 0), 0)
    upright.putpixel((5, 0), 100)
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright if orientation == 1 else upright.transpose(back[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    page = decode(tmp_path, saved(stored, "PNG", exif=exif))
    assert (page.width, page.height) == SIZE
    assert page.pixels == upright.tobytes()


def test_broken_exif_is_no_reason_to_refuse_a_page(tmp_path: Path) -> None:
    page = decode(tmp_path, saved(two_tone(), "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff"))
    assert (page.width, page.height) == SIZE


@pytest.mark.parametrize(
    ("stated", "expected"), [((300, 300), 300), ((1, 1), 70), (None, 70), ((100_000, 100_000), 70)]
)
def test_an_implausible_resolution_is_guessed(tmp_path: Path, stated: tuple[int, int] | None, expected: int) -> None:
    options: dict[str, object] = {} if stated is None else {"dpi": stated}
    assert decode(tmp_path, saved(two_tone(), "PNG", **options)).dpi == expected


def test_a_page_without_resolution_is_taken_for_a4(tmp_path: Path) -> None:
    assert decode(tmp_path, saved(Image.new("L", (1240, 1754)), "PNG")).dpi == 150


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises a size that its data does not hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


NOISE = Image.effect_noise((200, 200), 80)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty; send a PNG, JPEG, TIFF (its first page), WebP or BMP"),
        (b"Dear Ms Hartwell,\n\nI bought", "is text, no image that can be read; send"),
        ("Größe ".encode() * 200, "is text, no image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG, XML or HTML, no image"),
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF, no image"),
        (b"PK\x03\x04" + bytes(60), "is a ZIP archive or an office document, no image"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "is a HEIC, no image"),
        (Random(1).randbytes(4000), "is of an unknown kind, no image"),
        (saved(NOISE, "GIF", save_all=True, append_images=[NOISE.rotate(90)]), "is a GIF, no image"),
        (saved(NOISE, "JPEG")[:3000], "is a JPEG that is damaged or cut off"),
        (saved(NOISE, "JPEG")[:20], "is a JPEG that is damaged or cut off"),
        (saved(NOISE, "PNG")[:3000], "is a PNG that is damaged or cut off"),
        (saved(NOISE, "TIFF")[:300], "is a TIFF that is damaged or cut off"),
        (saved(NOISE, "WEBP")[:300], "is a WebP that is damaged or cut off"),
        (saved(NOISE, "BMP")[:300], "is a BMP that is damaged or cut off"),
        (png_of(60_000, 60_000), "has too many pixels; send at most 89,000,000"),
        (png_of(9_600, 9_600), "has 9,600 x 9,600 pixels; send at most 89,000,000"),
        (png_of(40_000, 2), "has 40,000 x 2 pixels; send at most 32,767 on a side"),
        (png_of(9_000, 9_000), "is a PNG that is damaged or cut off"),
        (png_of(0, 5), "is a PNG that is damaged or cut off"),
    ],
    ids=id_of,
)
def test_what_is_no_page_is_refused_by_name_and_kind(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(FlowError) as caught:
        decode(tmp_path, data)
    assert caught.value.record.reason is Reason.FILE_UNREADABLE
    assert f"`page.png` {what}" in str(caught.value)
    assert str(tmp_path) not in str(caught.value), "a caller is told where files lie on this machine"


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"`page\.png` is not in the file store any more") as caught:
        read_page(tmp_path / "nothing", "page.png")
    assert caught.value.record.reason is Reason.FILE_UNREADABLE


@pytest.mark.parametrize(
    "save",
    [
        lambda: saved(NOISE, "PNG"),
        lambda: saved(NOISE, "JPEG"),
        lambda: saved(NOISE, "TIFF", compression="tiff_lzw"),
        lambda: saved(NOISE.convert("1"), "TIFF", compression="group4"),
        lambda: saved(NOISE, "WEBP"),
        lambda: saved(NOISE.convert("P"), "BMP"),
    ],
)
def test_damage_anywhere_gives_a_page_or_a_refusal_and_nothing_else(tmp_path: Path, save: Callable[[], bytes]) -> None:
    whole = save()
    rng = Random(5)
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            # Headers are where decoders go wrong.
            data[rng.randrange(rng.choice((64, 256, len(data))))] = rng.randrange(256)
        try:
            decode(tmp_path, bytes(data))
        except FlowError as error:
            assert error.record.reason is Reason.FILE_UNREADABLE
            refused += 1
    assert refused
