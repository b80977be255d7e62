import io
import os
import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from cracklib import config
from cracklib.errors import PhotoError
from cracklib.photo import (
    PHOTO_SUFFIXES,
    decode_photo,
    encode_jpeg,
    encode_png,
    fit_within,
    looks_like_photo,
    read_photo,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(height: int = 64, width: int = 96) -> np.ndarray:
    """Red and green above, blue and white below."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = WHITE
    return pixels


def file_of(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def black_png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel."""
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + png_chunk(b"IDAT", rows)
        + png_chunk(b"IEND", b"")
    )


# Formats


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
    ],
)
def test_lossless_formats_decode_exactly(kind, options):
    photo = decode_photo(file_of(quarters(), kind, **options), "wall")
    np.testing.assert_array_equal(photo.pixels, quarters())
    assert photo.name == "wall"
    assert photo.size == (64, 96)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("WEBP", {"quality": 95}),
        ("HEIF", {"quality": 95}),
        ("MPO", {"quality": 95}),
    ],
)
def test_lossy_formats_decode_to_the_same_colours(kind, options):
    pixels = decode_photo(file_of(quarters(), kind, **options)).pixels
    assert pixels.shape == (64, 96, 3)
    for row, column, colour in [(16, 24, RED), (16, 72, GREEN), (48, 24, BLUE), (48, 72, WHITE)]:
        np.testing.assert_allclose(pixels[row, column], colour, atol=6)


def test_pixels_of_a_tall_photo_keep_their_rows():
    ramp = np.repeat(np.arange(600, dtype=np.uint16)[:, None, None] // 3, 40, axis=1)
    pixels = np.repeat(ramp, 3, axis=2).astype(np.uint8)
    np.testing.assert_array_equal(decode_photo(file_of(pixels, "PNG")).pixels, pixels)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_only_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert np.all(decode_photo(data).pixels == RED)


def test_suffixes_are_those_of_readable_formats():
    suffixes = Image.registered_extensions()
    assert {suffixes[suffix] for suffix in PHOTO_SUFFIXES} == {
        "JPEG",
        "PNG",
        "WEBP",
        "BMP",
        "TIFF",
        "GIF",
        "HEIF",
    }


def test_other_formats_pillow_knows_are_refused():
    assert not looks_like_photo(file_of(quarters(), "PPM"))
    with pytest.raises(PhotoError, match="not a photo"):
        decode_photo(file_of(quarters(), "PPM"))


# Orientation

# Corner of the upright photo, (row, column), where the stored image's first pixel and the last
# pixel of its first row belong: the EXIF standard's "row 0 is the visual ..., column 0 the ...".
TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (0, 0), (0, -1), (-1, 0), (-1, -1)
CORNERS = {
    1: (TOP_LEFT, TOP_RIGHT),
    2: (TOP_RIGHT, TOP_LEFT),
    3: (BOTTOM_RIGHT, BOTTOM_LEFT),
    4: (BOTTOM_LEFT, BOTTOM_RIGHT),
    5: (TOP_LEFT, BOTTOM_LEFT),
    6: (TOP_RIGHT, BOTTOM_RIGHT),
    7: (BOTTOM_RIGHT, TOP_RIGHT),
    8: (BOTTOM_LEFT, TOP_LEFT),
}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF lzw", "HEIF"])
def test_exif_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    kind, _, compression = kind.partition(" ")
    options = {"compression": "tiff_lzw"} if compression else {}
    if kind == "HEIF":
        # The encoder moves the orientation into the container; the photo seen is the same.
        options = {"quality": 95}
    photo = decode_photo(file_of(quarters(), kind, exif=exif.tobytes(), **options))
    assert photo.size == ((64, 96) if orientation <= 4 else (96, 64))
    red, green = CORNERS[orientation]
    np.testing.assert_allclose(photo.pixels[red], RED, atol=12)
    np.testing.assert_allclose(photo.pixels[green], GREEN, atol=12)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the EXIF
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"x"])
def test_damaged_exif_does_not_lose_the_photo(kind, exif):
    assert decode_photo(file_of(quarters(), kind, exif=exif)).size == (64, 96)


# Colour


def test_grey_and_bilevel_become_rgb():
    grey = np.arange(64 * 96, dtype=np.uint32).reshape(64, 96).astype(np.uint8)
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode_photo(file_of(grey, "PNG")).pixels, expected)

    bilevel = Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
    pixels = decode_photo(file_of(bilevel, "PNG")).pixels
    np.testing.assert_array_equal(pixels, np.where(expected > 127, 255, 0))


def test_palette_becomes_its_colours():
    image = Image.new("P", (40, 40), 1)
    image.putpalette([*WHITE, 10, 20, 30])
    assert np.all(decode_photo(file_of(image, "PNG")).pixels == (10, 20, 30))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        # colour * alpha + 255 * (1 - alpha), alpha 128/255: 255 * 127/255 = 127
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("RGBA", (9, 9, 9, 0), (255, 255, 255)),
        ("RGBA", (9, 9, 9, 255), (9, 9, 9)),
        # 100 * 51/255 + 255 * 204/255 = 20 + 204
        ("LA", (100, 51), (224, 224, 224)),
    ],
)
def test_alpha_lies_over_white(mode, colour, expected):
    assert np.all(
        decode_photo(file_of(Image.new(mode, (40, 40), colour), "PNG")).pixels == expected
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_becomes_white(mode):
    image = Image.new(mode, (40, 40), 7 if mode == "L" else (7, 7, 7))
    image.paste(9 if mode == "L" else (9, 9, 9), (0, 0, 20, 40))
    data = file_of(image, "PNG", transparency=7 if mode == "L" else (7, 7, 7))
    pixels = decode_photo(data).pixels
    assert np.all(pixels[:, :20] == 9)
    assert np.all(pixels[:, 20:] == 255)


@pytest.mark.parametrize("transparency", [1, b"\xff\x80"])
def test_palette_transparency_lies_over_white(transparency):
    image = Image.new("P", (40, 40), 1)
    image.putpalette([*GREEN, *RED])
    image.paste(0, (0, 0, 20, 40))
    pixels = decode_photo(file_of(image, "PNG", transparency=transparency)).pixels
    assert np.all(pixels[:, :20] == GREEN)
    # Index 1 is either wholly transparent or half.
    assert np.all(pixels[:, 20:] == (WHITE if transparency == 1 else (255, 127, 127)))


def test_cmyk_becomes_rgb():
    # No black ink, all magenta and yellow: red.
    image = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    np.testing.assert_allclose(decode_photo(file_of(image, "JPEG")).pixels[20, 20], RED, atol=3)
    assert np.all(decode_photo(file_of(image, "TIFF")).pixels == RED)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_fills_8_bits(kind):
    deep = np.zeros((40, 40), np.uint16)
    deep[:, :10] = 65535
    deep[:, 10:20] = 32768  # 32768 / 257 = 127.5
    deep[:, 20:30] = 257
    pixels = decode_photo(file_of(deep, kind)).pixels
    assert [int(pixels[0, column, 1]) for column in (0, 10, 20, 30)] == [255, 128, 1, 0]
    assert np.all(pixels == pixels[..., :1])


def test_16_bit_grey_may_have_white_at_zero():
    image = Image.fromarray(np.full((40, 40), 257, np.uint16))
    data = file_of(image, "TIFF", tiffinfo={ExifTags.Base.PhotometricInterpretation: 0})
    assert np.all(decode_photo(data).pixels == 254)


def test_big_endian_16_bit_grey_fills_8_bits():
    image = Image.frombytes("I;16B", (40, 40), struct.pack(">H", 32768) * 1600)
    assert np.all(decode_photo(file_of(image, "TIFF")).pixels == 128)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.float32, (0, 0.5, 1), (0, 128, 255)),
        (np.float32, (0, 127, 255), (0, 127, 255)),
        (np.float32, (0, 257, 65535), (0, 1, 255)),
        (np.float32, (-5, np.nan, 1e6), (0, 0, 255)),
        (np.float32, (0, 0, 0), (0, 0, 0)),
        (np.int32, (-1, 100, 200), (0, 100, 200)),
        (np.int32, (0, 257, 60000), (0, 1, 233)),
        (np.int32, (0, 50000, 100000), (0, 128, 255)),
    ],
)
def test_32_bit_grey_is_scaled_by_the_range_it_fills(dtype, values, expected):
    deep = np.repeat(np.array(values, dtype), 16)[None].repeat(40, axis=0)
    pixels = decode_photo(file_of(deep, "TIFF")).pixels
    assert [int(pixels[0, column, 0]) for column in (0, 16, 32)] == list(expected)


# Refusals


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"\xef\xbb\xbf\n <html lang='en'>", "a web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "an SVG drawing"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "a video"),
        (b"\0\0\0\x20ftypavif\0\0\2\0", "an AVIF picture"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"Just some words, \xc3\xa9crits ici.", "is text"),
        (b"a" * 1023 + "é".encode() * 5, "is text"),
        (b"\x00\x01\x02\x03\xff\xfe", "unknown kind"),
    ],
)
def test_what_is_no_photo_is_named(data, what):
    with pytest.raises(PhotoError, match=what) as refusal:
        decode_photo(data, "thing.jpg")
    assert "'thing.jpg'" in str(refusal.value)
    assert "Give a JPEG" in str(refusal.value)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIF"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_truncated_files_are_refused(kind, share):
    data = file_of(NOISE, kind)
    with pytest.raises(PhotoError, match=r"broken or cut short|not a photo"):
        decode_photo(data[: int(len(data) * share)])


@pytest.mark.parametrize(("width", "height"), [(31, 400), (400, 31)])
def test_a_side_under_the_least_is_refused(width, height):
    with pytest.raises(PhotoError, match=f"{width} px wide and {height} px high.*32 px"):
        decode_photo(file_of(Image.new("RGB", (width, height)), "PNG"))


def test_the_least_size_is_accepted():
    assert decode_photo(file_of(Image.new("RGB", (32, 32)), "PNG")).size == (32, 32)


# 61 is just over, 100 is what Pillow warns of, 300 what it refuses.
@pytest.mark.parametrize(("width", "height"), [(6100, 10_000), (10_000, 10_000), (20_000, 15_000)])
def test_a_photo_over_the_most_megapixels_is_refused_unread(width, height):
    data = black_png(width, height)
    tracemalloc.start()
    try:
        with pytest.raises(PhotoError, match=f"{width * height / 1e6} megapixels; the most is 60"):
            decode_photo(data)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()

    # Nothing after the header is looked at: it may be missing.
    with pytest.raises(PhotoError, match="megapixels"):
        decode_photo(data[:60])


def test_the_most_megapixels_are_judged_exactly(monkeypatch):
    monkeypatch.setattr(config, "MAX_PIXELS", 40 * 50)
    decode_photo(file_of(Image.new("RGB", (40, 50)), "PNG"))
    with pytest.raises(PhotoError, match="megapixels"):
        decode_photo(file_of(Image.new("RGB", (41, 50)), "PNG"))


def test_a_photo_too_long_to_be_written_again_is_refused():
    decode_photo(black_png(65_500, 32))
    with pytest.raises(PhotoError, match="longer side may have at most 65,500 px"):
        decode_photo(black_png(32, 65_501))


def test_a_webp_that_pillow_calls_a_bomb_is_refused():
    data = bytearray(file_of(quarters(), "WEBP", lossless=True, exif=Image.Exif().tobytes()))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16382).to_bytes(3, "little") * 2
    with pytest.raises(PhotoError, match="the most is 60 megapixels"):
        decode_photo(bytes(data))


# Anything that may come


def decodes_or_refuses(data: bytes) -> None:
    try:
        photo = decode_photo(data)
    except PhotoError:
        return
    assert photo.pixels.dtype == np.uint8


@given(st.binary(max_size=400))
def test_garbage_is_refused(data):
    decodes_or_refuses(data)


MAGIC = {
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "WEBP": b"RIFF\0\x02\0\0WEBPVP8 ",
    "BMP": b"BM",
    "TIFF": b"II*\0\x08\0\0\0",
    "GIF": b"GIF89a",
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0",
}


@given(st.sampled_from(sorted(MAGIC.values())), st.binary(max_size=400))
def test_garbage_behind_a_true_beginning_is_refused(magic, data):
    decodes_or_refuses(magic + data)


SMALL = np.random.default_rng(1).integers(0, 256, (32, 40, 3), np.uint8)
FILES = [file_of(SMALL, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIF")]
FILES += [
    file_of(SMALL, "TIFF", compression="tiff_lzw"),
    file_of(Image.new("P", (32, 32)), "PNG", transparency=b"\0\1"),
    file_of(SMALL, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32))]),
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(FILES),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8
    ),
    st.booleans(),
)
def test_damaged_files_decode_or_are_refused(data, changes, in_the_header):
    damaged = bytearray(data)
    span = min(len(data), 120) if in_the_header else len(data)
    for place, value in changes:
        damaged[int(place * span)] = value
    decodes_or_refuses(bytes(damaged))


def test_threads_decode_at_once():
    data = [file_of(quarters(), kind) for kind in ("PNG", "BMP", "TIFF")] * 4
    photos: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda d=d: photos.append(decode_photo(d).pixels)) for d in data
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(photos) == 12
    assert all(np.array_equal(pixels, quarters()) for pixels in photos)


# Files


def test_a_file_is_read_and_named(tmp_path):
    (tmp_path / "Wall 1.png").write_bytes(file_of(quarters(), "PNG"))
    for path in (tmp_path / "Wall 1.png", str(tmp_path / "Wall 1.png")):
        photo = read_photo(path)
        assert photo.name == "Wall 1.png"
        np.testing.assert_array_equal(photo.pixels, quarters())


def test_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    with pytest.raises(PhotoError, match=r"missing\.jpg' can't be read: No such file"):
        read_photo(tmp_path / "missing.jpg")
    with pytest.raises(PhotoError, match="is a folder"):
        read_photo(tmp_path)
    with pytest.raises(PhotoError, match="can't be read: embedded null"):
        read_photo("bad\0name.jpg")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(PhotoError, match=r"'empty\.jpg' is empty"):
        read_photo(tmp_path / "empty.jpg")
    (tmp_path / "large.png").write_bytes(file_of(quarters(), "PNG"))
    monkeypatch.setattr(config, "MAX_FILE_BYTES", 100)
    with pytest.raises(PhotoError, match="smaller copy"):
        read_photo(tmp_path / "large.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotoError, match="a device or a pipe"):
        read_photo(tmp_path / "pipe.jpg")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(PhotoError, match="can't be read"):
        read_photo(path)


# Out


def test_png_is_lossless():
    data = encode_png(NOISE)
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), NOISE)
    np.testing.assert_array_equal(decode_photo(data).pixels, NOISE)


def test_jpeg_keeps_the_colours_and_its_quality_the_size():
    data = encode_jpeg(quarters())
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    np.testing.assert_allclose(decode_photo(data).pixels[16, 24], RED, atol=6)
    assert len(encode_jpeg(NOISE, quality=30)) < len(encode_jpeg(NOISE))


def test_encoders_take_the_read_only_pixels_of_a_photo():
    pixels = decode_photo(file_of(NOISE, "PNG")).pixels
    assert not pixels.flags.writeable
    assert encode_png(pixels) == encode_png(NOISE)
    assert encode_jpeg(pixels) == encode_jpeg(NOISE)
    assert fit_within(pixels, 48).shape == (32, 48, 3)


def test_fit_within_averages_areas():
    checks = np.zeros((64, 96, 3), np.uint8)
    checks[::2] = 200
    shrunk = fit_within(checks, 48)
    assert shrunk.shape == (32, 48, 3)
    assert np.all(shrunk == 100)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(100, 300, (50, 150)), (300, 100, (150, 50)), (1, 3000, (1, 150)), (200, 151, (150, 113))],
)
def test_fit_within_keeps_the_aspect(height, width, expected):
    assert fit_within(np.zeros((height, width, 3), np.uint8), 150).shape[:2] == expected


def test_fit_within_leaves_small_pixels_alone():
    pixels = quarters()
    assert fit_within(pixels, 96) is pixels
