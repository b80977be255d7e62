"""Photos in and out: bytes or a file to upright RGB pixels, and pixels to PNG or JPEG."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from cracklib import config
from cracklib.errors import PhotoError
from cracklib.types import Photo, Pixels

PHOTO_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".heic",
    ".heif",
)
"""File-name suffixes, in lower case, of the photos ``decode_photo`` reads."""

_FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "TIFF", "BMP", "GIF")
"""Pillow's names. Phones' MPO files come through JPEG."""

_EXPECTED = "Give a JPEG, PNG, WebP, BMP, TIFF, GIF or HEIC file"

_STRIP_ROWS = 256

# EXIF orientation (EXIF 2.32, tag 0x0112), undone: from 5 on a transpose, then cv2.flip's code.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}

_OTHER_KINDS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"8BPS", "a Photoshop document"),
)

Image.init()
pillow_heif.register_heif_opener()


def decode_photo(data: bytes, name: str = "photo") -> Photo:
    """Decode an image file's bytes to an upright RGB photo.

    Reads JPEG, PNG, WebP, BMP, TIFF, GIF and HEIC, of several frames the first. EXIF orientation
    is applied, transparency is laid over white, 16-bit grey is scaled to 8 bits. ``name`` is what
    messages call the photo.

    Raises ``PhotoError`` where ``data`` is empty, no image of these formats, broken or cut short,
    has a side under ``config.MIN_SIDE_PX``, or more than ``config.MAX_PIXELS`` pixels; sizes are
    judged from the header, before any pixel is decoded.
    """
    if not data:
        raise PhotoError(f"'{name}' is empty (0 bytes). {_EXPECTED}.")
    if not looks_like_photo(data):
        raise PhotoError(f"'{name}' is {_kind_of(data)}, not a photo. {_EXPECTED}.")
    with _decoding(name):
        image = _open(data)
    _check_size(image, name)
    with _decoding(name):
        image.load()
        pixels = _upright(_rgb_pixels(image), _orientation(image))
    return Photo(pixels, name)


def read_photo(path: str | Path) -> Photo:
    """Read a photo from a file; its name is the file's.

    Raises ``PhotoError`` where there is no such file, it can't be read, it is larger than
    ``config.MAX_FILE_BYTES``, or ``decode_photo`` refuses it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise PhotoError(f"'{path}' is a folder, not a photo. Name a file in it.")
        if path.exists() and not path.is_file():
            raise PhotoError(f"'{path}' is a device or a pipe, not a photo. {_EXPECTED}.")
        n_bytes = path.stat().st_size
        if n_bytes > config.MAX_FILE_BYTES:
            raise PhotoError(
                f"'{path}' has {n_bytes / 2**20:.0f} MB; "
                f"the most is {config.MAX_FILE_BYTES / 2**20:.0f} MB. Give a smaller copy."
            )
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(
            f"'{path}' can't be read: {reason}. Check its name, and that you may open it."
        ) from error
    return decode_photo(data, path.name)


def photo_format(data: bytes) -> str | None:
    """Pillow's name for the format that ``data`` begins like, None where ``decode_photo`` reads no
    such format; 16 bytes are enough.
    """
    for name in _FORMATS:
        accept = Image.OPEN[name][1]
        if accept is not None and accept(data[:16]) is True:
            return name
    return None


def looks_like_photo(data: bytes) -> bool:
    """Whether ``data`` begins like a file that ``decode_photo`` reads; 16 bytes are enough."""
    return photo_format(data) is not None


def encode_png(pixels: Pixels) -> bytes:
    """Encode RGB pixels as PNG, lossless.

    Settings are OpenCV's own (run lengths, one filter): twice as fast as zlib's lowest level, and
    hardly larger.
    """
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def encode_jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Encode RGB pixels as JPEG; ``quality`` is 1 to 100."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


def fit_within(pixels: Pixels, max_side_px: int) -> Pixels:
    """Shrink pixels, averaging areas, until no side is over ``max_side_px``; the aspect is kept.

    Pixels that fit already are returned as they are.
    """
    height, width = pixels.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return shrunk


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise PhotoError(_too_large(name, "is far too large")) from error
    except Exception as error:
        # On garbage, Pillow's decoders raise almost any type there is.
        raise PhotoError(
            f"'{name}' is broken or cut short: it begins like a photo but can't be decoded. "
            f"Save or send it again, from the original if you can."
        ) from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """The image with its header read.

    ``Image.open`` does the same and then warns of large images, through state that all threads
    share; here the size is judged by ``_check_size``.
    """
    factory, _ = Image.OPEN[str(photo_format(data))]
    return factory(BytesIO(data), "")


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if min(width, height) < config.MIN_SIDE_PX:
        raise PhotoError(
            f"'{name}' is {width} px wide and {height} px high; each side must have at least "
            f"{config.MIN_SIDE_PX} px. Give a larger photo."
        )
    if max(width, height) > config.MAX_SIDE_PX:
        raise PhotoError(
            f"'{name}' is {width} px wide and {height} px high; the longer side may have at most "
            f"{config.MAX_SIDE_PX:,} px. Give it in pieces."
        )
    if width * height > config.MAX_PIXELS:
        came = f"is {width} px wide and {height} px high, {width * height / 1e6:.1f} megapixels"
        raise PhotoError(_too_large(name, came))


def _too_large(name: str, came: str) -> str:
    most = config.MAX_PIXELS / 1e6
    return f"'{name}' {came}; the most is {most:.0f} megapixels. Give a smaller copy."


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if 5 <= orientation <= 8:
        pixels = cv2.transpose(pixels)
    if orientation in _FLIPS:
        pixels = cv2.flip(pixels, _FLIPS[orientation])
    return pixels


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF says nothing; the pixels are still good
        return 1


def _rgb_pixels(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _to_8_bits(np.asarray(image))
        if _white_is_zero(image):
            grey = 255 - grey
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        image = white
    elif image.mode != "RGB":
        image = image.convert("RGB")
    # A strip at a time: np.asarray of a whole 12-megapixel image takes four times as long.
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF says so. Pillow minds it where grey has 8 bits, not where it is deeper."""
    return getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0


def _to_8_bits(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale deep grey to 8 bits.

    16-bit values fill 0 to 65535. 32-bit and float files don't say what white is: it is the first
    of 1, 255 and 65535 that no value exceeds, else the largest value.
    """
    if grey.dtype.itemsize == 2:
        return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    # In place: of 60 megapixels each copy would have half a gigabyte.
    values = np.nan_to_num(grey.astype(np.float64), copy=False, posinf=0, neginf=0)
    np.maximum(values, 0, out=values)
    peak = values.max()
    values *= 255 / next((white for white in (1, 255, 65535) if peak <= white), peak)
    return np.rint(values, out=values).astype(np.uint8)


def _kind_of(data: bytes) -> str:
    """What bytes that are no photo seem to be."""
    for signature, kind in _OTHER_KINDS:
        if data.startswith(signature):
            return kind
    if data[4:8] == b"ftyp":
        return "an AVIF picture" if data[8:12] in (b"avif", b"avis") else "a video"
    if data[:4] == b"RIFF":
        return "a video or a sound"
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:1024]).lower()
    except UnicodeDecodeError:
        return "a file of an unknown kind"
    if "<!doctype html" in text or "<html" in text:
        return "a web page"
    if "<svg" in text:
        return "an SVG drawing"
    return "a file of an unknown kind" if "\0" in text else "text"
