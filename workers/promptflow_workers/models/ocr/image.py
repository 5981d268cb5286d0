"""Image files as upright grey pages, whatever they really are."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from promptflow_core.errors import FlowError, Reason

ACCEPTED = "send a PNG, JPEG, TIFF (its first page), WebP or BMP"
MAX_PIXELS = 89_000_000
"""An A4 page at 900 dots per inch; above it Pillow itself suspects a bomb."""

MAX_SIDE = 32_767
"""What Tesseract takes."""

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
_PAGE_WIDTH_INCHES = 8.27
_PLAUSIBLE_DPI = range(70, 2401)
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Everything that Pillow's decoders were seen to raise on damaged files.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)

_SIGNATURES = (
    (0, b"\x89PNG", "a PNG"),
    (0, b"\xff\xd8\xff", "a JPEG"),
    (0, b"II*\x00", "a TIFF"),
    (0, b"MM\x00*", "a TIFF"),
    (8, b"WEBP", "a WebP"),
    (0, b"BM", "a BMP"),
    (0, b"%PDF", "a PDF"),
    (0, b"GIF8", "a GIF"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\xd0\xcf\x11\xe0", "an office document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (4, b"ftypheic", "a HEIC"),
    (4, b"ftypavif", "an AVIF"),
    (0, b"\x00\x00\x00\x0cjP", "a JPEG 2000"),
)
_READABLE = frozenset({"a PNG", "a JPEG", "a TIFF", "a WebP", "a BMP"})


@dataclass(frozen=True, slots=True)
class GreyPage:
    """Eight bits a pixel, rows from the top, without padding; `dpi` is the file's, or a guess."""

    pixels: bytes
    width: int
    height: int
    dpi: int


def read_page(path: Path, name: str) -> GreyPage:
    """Decode an image file; of several pages the first, transparency as white, turned as EXIF says.

    Raises:
        FlowError: FILE_UNREADABLE; the message says what the file is and what is accepted.
    """
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of sizes that are refused below.
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(image, name)
                image.load()
                grey = _upright(_grey(image), image)
                dpi = _dpi(image)
        except Image.DecompressionBombError:
            raise _unreadable(name, "has too many pixels", f"send at most {MAX_PIXELS:,}") from None
        except _DECODER_ERRORS as error:
            raise _explain(path, name, error) from None
    return GreyPage(grey.tobytes(), grey.width, grey.height, dpi)


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _unreadable(name, f"has {width:,} x {height:,} pixels", f"send at most {MAX_PIXELS:,}")
    if max(width, height) > MAX_SIDE:
        raise _unreadable(name, f"has {width:,} x {height:,} pixels", f"send at most {MAX_SIDE:,} on a side")


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return _scaled(np.asarray(image, np.float64))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, coloured).convert("L")
    return image.convert("L")


def _scaled(values: np.ndarray) -> Image.Image:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    darkest, lightest = finite.min(), finite.max()
    scale = 255 / (lightest - darkest) if lightest > darkest else 0
    return Image.fromarray(((finite - darkest) * scale).astype(np.uint8))


def _upright(grey: Image.Image, original: Image.Image) -> Image.Image:
    try:
        orientation = original.getexif().get(_ORIENTATION_TAG)
    except _DECODER_ERRORS:
        return grey
    turn = _UPRIGHT.get(orientation or 1)
    return grey if turn is None else grey.transpose(turn)


def _dpi(image: Image.Image) -> int:
    try:
        stated = round(float(image.info["dpi"][0]))
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        stated = 0
    if stated in _PLAUSIBLE_DPI:
        return stated
    return min(max(round(min(image.size) / _PAGE_WIDTH_INCHES), 70), 600)


def _explain(path: Path, name: str, error: Exception) -> FlowError:
    """What is wrong with a file that did not decode, judged by its first bytes."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return FlowError(Reason.FILE_UNREADABLE, f"`{name}` is not in the file store any more; send it again")
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return _unreadable(name, "is empty")
    found = next((what for start, mark, what in _SIGNATURES if head[start : start + len(mark)] == mark), None)
    if isinstance(error, MemoryError):
        return _unreadable(name, "needs too much memory to decode")
    if found in _READABLE:
        # What the decoder says names the file by its place on this machine.
        said = str(error).replace(str(path), name)
        return _unreadable(name, f"is {found} that is damaged or cut off ({said})")
    return _unreadable(name, f"is {found or _guess(head)}, no image that can be read")


def _guess(head: bytes) -> str:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The end of the head may cut a character.
        if error.start < len(head) - 3:
            return "of an unknown kind"
        text = head[: error.start].decode("utf-8")
    if "\0" in text:
        return "of an unknown kind"
    return "SVG, XML or HTML" if text.lstrip("\ufeff \t\r\n").startswith("<") else "text"


def _unreadable(name: str, what: str, instead: str = ACCEPTED) -> FlowError:
    return FlowError(Reason.FILE_UNREADABLE, f"`{name}` {what}; {instead}")
