import io
import os
import re
import socket
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from fer.errors import ImageError, InputError
from fer.formats import UNREAD_SUFFIXES, name_format
from fer.image import (
    FORMATS,
    MAX_SCANS,
    measure_image,
    picture_suffixes,
    read_image,
    read_picture,
)
from tests.conftest import ROOT, noise


def encode(image, kind, **options):
    buffer = io.BytesIO()
    if kind == "HEIF":  # what the package reads it with has no encoder
        pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
        return buffer.getvalue()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def many_scans(n_more, side_px=48):
    """A progressive JPEG with the last of its ten scans so many times more."""
    content = encode(Image.fromarray(noise(side_px, side_px)), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * (n_more + 1) + content[-2:]


def halves(mode, left, right):
    """A picture 8 wide, 4 high, of two values."""
    image = Image.new(mode, (8, 4), right)
    image.paste(left, (0, 0, 4, 4))
    return image


def test_rgb_survives_exactly():
    pixels = noise(5, 7)
    assert (read_image(encode(Image.fromarray(pixels), "PNG")) == pixels).all()


def test_gray_becomes_three_equal_channels():
    frame = read_image(encode(halves("L", 10, 200), "PNG"))
    assert frame[0, 0].tolist() == [10, 10, 10]
    assert frame[0, 7].tolist() == [200, 200, 200]


def test_transparent_parts_become_white():
    frame = read_image(encode(halves("RGBA", (255, 0, 0, 255), (0, 0, 255, 0)), "PNG"))
    assert frame[0, 0].tolist() == [255, 0, 0]
    assert frame[0, 7].tolist() == [255, 255, 255]


def test_16_bit_is_scaled_not_cut():
    pixels = np.array([[0, 32768, 65535]], np.uint16)
    frame = read_image(encode(Image.fromarray(pixels), "PNG"))
    assert frame[0, :, 0].tolist() == [0, 127, 255]


def test_floating_point_with_nan_is_read():
    pixels = np.array([[0.0, 0.5, np.nan, 1.0]], np.float32)
    frame = read_image(encode(Image.fromarray(pixels), "TIFF"))
    assert frame[0, :, 0].tolist() == [0, 127, 0, 255]


def test_palette_and_its_transparency():
    image = halves("P", 1, 0)
    image.putpalette([0, 0, 0, 0, 200, 0])
    assert read_image(encode(image, "PNG"))[0, 0].tolist() == [0, 200, 0]
    assert read_image(encode(image, "PNG", transparency=0))[0, 7].tolist() == [255] * 3


def test_of_an_animation_the_first_picture():
    first, second = halves("L", 0, 0), halves("L", 255, 255)
    data = encode(first, "GIF", save_all=True, append_images=[second], duration=100)
    assert read_image(data).max() == 0


def test_cmyk_jpeg():
    frame = read_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = frame[4, 4].tolist()
    assert red > 180
    assert max(green, blue) < 70


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise to be upright
    frame = read_image(encode(halves("RGB", "red", "blue"), "JPEG", exif=exif, quality=95))
    assert frame.shape == (8, 4, 3)
    assert frame[1, 2, 0] > 200  # left became top
    assert frame[6, 2, 2] > 200


def test_one_pixel():
    assert read_image(encode(Image.new("RGB", (1, 1), "red"), "PNG")).shape == (1, 1, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "HEIF", "JPEG2000"])
def test_cut_off_files_are_refused(kind):
    data = encode(Image.fromarray(noise(64, 64)), kind)
    for part in (0.5, 0.1):
        with pytest.raises(ImageError):
            read_image(data[: int(len(data) * part)])


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "TIFF", "BMP", "MPO"])
def test_of_a_file_that_breaks_off_what_is_there_is_read(kind, caplog):
    image = Image.fromarray(noise(8, 8)).resize((64, 64))
    options = {"progressive": True} if kind == "progressive" else {}
    if kind == "MPO":
        options = {"save_all": True, "append_images": [image]}
    data = encode(image, "JPEG" if options.get("progressive") else kind, **options)
    whole = read_image(data)
    cut = data[: len(data) * 3 // 4] if kind != "MPO" else data[: len(data) * 3 // 8]
    picture = read_picture(cut)
    assert not picture.whole
    assert picture.notes == ("the file breaks off; what is there was read",)
    assert picture.frame.shape == whole.shape
    near = np.abs(picture.frame.astype(int) - whole).mean(axis=(1, 2)) < 40
    # A BMP begins with the lowest row.
    assert near[32:].all() if kind == "BMP" else near[:32].all()
    assert (read_image(cut) == picture.frame).all()
    assert "breaks off" in caplog.text
    with pytest.raises(ImageError):
        read_picture(cut, strict=True)
    with pytest.raises(ImageError):
        read_image(data[:60])


def test_text_named_jpg_is_refused_by_name(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Sir or Madam")
    with pytest.raises(ImageError, match=r"letter\.jpg must be a picture"):
        read_image(path)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty file"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"<?xml version='1.0'?><svg xmlns=", "SVG"),
        (b"\n<!DOCTYPE html><p>", "a web page (HTML)"),
        (b"II*\x00\x10\x00\x00\x00CR\x02", "a camera's raw data (CR2)"),
        (b"\x00\x00\x00\x18ftypcrx ", "a camera's raw data (CR3)"),
        (b"\x00\x00\x00\x18ftypisom", "a video (MP4, MOV)"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw data (RAF)"),
        (b"8BPS\x00\x01", "Photoshop (PSD)"),
        (b"\x00" * 512, "a file of zeros"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS instead of the file"),
        (b"Dear Sir or Madam", "text"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_format(head, name, tmp_path):
    assert name_format(head) == name
    path = tmp_path / "picture.jpg"
    path.write_bytes(head)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert "picture.jpg must be a picture" in str(caught.value)
    assert f"Received: {name}" in str(caught.value)


def tiff(pixels, tags):
    """An uncompressed TIFF of 16 bits a value with more tags."""
    height, width, channels = pixels.shape
    content = pixels.astype("<u2").tobytes()
    bits = struct.pack(f"<{channels}H", *[16] * channels)
    tags = {
        256: (3, 1, width),
        257: (3, 1, height),
        258: (3, channels, 8),
        259: (3, 1, 1),
        262: (3, 1, 2),
        273: (4, 1, 8 + len(bits)),
        277: (3, 1, channels),
        278: (3, 1, height),
        279: (4, 1, len(content)),
        **tags,
    }
    entries = [struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags)]
    start = struct.pack("<2sHI", b"II", 42, 8 + len(bits) + len(content))
    return start + bits + content + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def test_raw_data_of_a_camera_is_not_read_as_its_thumbnail():
    pixels = np.zeros((4, 8, 3))
    for tag in ({254: (4, 1, 1)}, {50706: (1, 4, 0x0401)}):
        with pytest.raises(ImageError, match="raw data"):
            read_image(tiff(pixels, tag))
    assert "cr2" not in "".join(picture_suffixes())
    assert {".cr2", ".dng", ".jxl"} <= UNREAD_SUFFIXES
    assert not UNREAD_SUFFIXES & set(picture_suffixes())


def ten_bits():
    """(4, 8, 3): the left half red, the right half half as bright, all of 10 bits."""
    pixels = np.zeros((4, 8, 3), np.uint16)
    pixels[:, :4, 0], pixels[:, 4:, 0] = 1023, 512
    return pixels


def png_16(pixels, exif=None):
    """A PNG of 16 bits in colour, which Pillow does not write."""
    content = cv2.imencode(".png", pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]])[1].tobytes()
    if exif is None:
        return content
    chunk = b"eXIf" + exif.removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content[:33] + chunk + content[33:]


def hot(values):
    """The same picture with one value in 2,500 that is far off."""
    changed = values.copy()
    changed[0, 0] = 65535 if values.dtype.kind != "f" else 1e6
    return changed


_RAMP = np.linspace(0, 1, 2500).reshape(50, 50)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (hot((_RAMP * 1023).astype(np.uint16)), "but for a few of up to 65535"),
        (hot(_RAMP.astype(np.float32)), "from 1 to 1e+06 are shown white"),
        (hot((40 * _RAMP).astype(np.float32)), "are shown black to white"),
        ((_RAMP * 255_000).astype(np.int32), "are shown black to white"),
        ((_RAMP * 1000).astype(np.int32), "10 bits"),
        ((_RAMP * 4e9 - 2e9).astype(np.int32), "are shown black to white"),
        ((_RAMP * 65535).astype(np.uint16), None),
    ],
)
def test_a_hot_pixel_or_an_odd_range_makes_nothing_dark(values, note):
    picture = read_picture(encode(Image.fromarray(values), "TIFF"))
    assert np.abs(picture.frame[1:, :, 0] - 255 * _RAMP[1:]).max() < 7
    assert len(picture.notes) == bool(note)
    assert (note or "") in "".join(picture.notes)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("compression", [1, 5])
def test_colour_of_32_or_64_bits_is_read(kind, compression):
    values = np.dstack([_RAMP, _RAMP / 2, _RAMP[::-1]])  # blue first
    scale = 2e9 if kind == np.int32 else 1
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    content = cv2.imencode(".tiff", (values * scale).astype(kind), options)[1].tobytes()
    assert np.abs(read_image(content) - 255 * values[..., ::-1]).max() < 2
    assert measure_image(content) == (50, 50)
    with pytest.raises(ImageError, match="Received: 50 x 50"):
        read_image(content, max_pixels=100)
    with pytest.raises(ImageError, match="TIFF"):
        read_image(content, formats=("PNG", "JPEG"))
    with pytest.raises(ImageError):
        read_image(content[:200])


# Tag 339 of a little-endian TIFF, one value of 16 bits: signed, and what Pillow cannot write.
_SIGNED, _UNSIGNED = (bytes.fromhex(f"5301 0300 01000000 0{kind}00") for kind in (2, 1))


@pytest.mark.parametrize("rotation", [1, 6])
def test_integers_of_32_bits_without_a_sign_do_not_wrap(rotation):
    values = (_RAMP * (2**32 - 1)).astype(np.uint32).view(np.int32)
    content = encode(Image.fromarray(values), "TIFF", tiffinfo={274: rotation})
    assert _SIGNED in content
    picture = read_picture(content.replace(_SIGNED, _UNSIGNED))
    turned = np.rot90(_RAMP, -1) if rotation == 6 else _RAMP
    assert np.abs(picture.frame[..., 0] - 255 * turned).max() < 2
    assert "from 0 to 4.29" in picture.notes[0]


def test_values_that_are_no_numbers_are_counted():
    half = np.where(_RAMP > 0.5, np.nan, _RAMP).astype(np.float32)
    picture = read_picture(encode(Image.fromarray(half), "TIFF"))
    assert picture.notes == ("50.00% of its values are no numbers and are shown black",)
    nothing = encode(Image.fromarray(np.full_like(half, np.nan)), "TIFF")
    with pytest.raises(ImageError, match="none of its values is a number"):
        read_picture(nothing)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_ten_bits_in_16_are_scaled_by_what_is_there(kind):
    for content in (
        encode(Image.fromarray(ten_bits()[..., 0]), kind),
        png_16(ten_bits()) if kind == "PNG" else tiff(ten_bits(), {}),
    ):
        picture = read_picture(content)
        assert picture.frame[0, :, 0].tolist() == [255] * 4 + [127] * 4
        assert picture.notes == ("its values go up to 1023 and were read as of 10 bits",)


def test_16_bit_colour_is_scaled_not_cut_and_its_transparency_is_white():
    pixels = np.full((2, 2, 4), 65535, np.uint16)
    pixels[..., :3], pixels[0, 0, 3] = 32768, 0
    frame = read_image(png_16(pixels))
    assert frame[0, 0].tolist() == [255] * 3
    assert frame[1, 1].tolist() == [127] * 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_colour_is_turned_once(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = (
        png_16(ten_bits(), exif.tobytes()) if kind == "PNG" else tiff(ten_bits(), {274: (3, 1, 6)})
    )
    frame = read_image(content)
    assert frame.shape == (8, 4, 3)
    assert frame[0, 0, 0] == 255  # left became top
    assert frame[7, 0, 0] == 127


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        ([0.0, 0.5, 1.0], [0, 127, 255], ""),
        ([0.0, 1023.0, 512.0], [0, 255, 127], "10 bits"),
        ([0.0, 100.5, 255.0], [0, 100, 255], "0 to 255"),
        ([0.0, 2.5, 5.0], [0, 127, 255], "from 0 to"),
        ([-1.0, 0.0, 1.0], [0, 127, 255], "from -1 to"),
        ([0.0, np.inf, 1.0], [0, 255, 255], ""),
        ([0.0, np.nan, 1.0], [0, 0, 255], "33.33% of its values"),
    ],
)
def test_floating_point_is_scaled_by_what_is_there(values, expected, note):
    content = encode(Image.fromarray(np.array([values], np.float32)), "TIFF")
    picture = read_picture(content)
    assert np.abs(picture.frame[0, :, 0].astype(int) - expected).max() <= 1
    assert note in "".join(picture.notes)
    assert bool(note) == bool(picture.notes)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JPEG"])
def test_a_phone_picture_is_turned_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = halves("RGB", "red", "blue").resize((64, 32))
    frame = read_image(encode(image, kind, exif=exif.tobytes()))
    held = encode(image, "PNG", exif=exif)
    assert np.abs(frame.astype(int) - read_image(held)).mean() < 10


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("GIF", "animation was read; `python -m fer video` reads all"),
        ("PNG", "animation was read; `python -m fer video` reads all"),
        ("WEBP", "animation was read"),
        ("AVIF", "animation was read"),
        ("TIFF", "first of several pages"),
        ("MPO", ""),
    ],
)
def test_of_several_pictures_the_first_is_read_and_that_is_said(kind, note):
    first, second = halves("RGB", "black", "gray"), halves("RGB", "white", "white")
    content = encode(first, kind, save_all=True, append_images=[second])
    picture = read_picture(content)
    assert picture.frame.max() < 140
    assert note in "".join(picture.notes)
    assert len(picture.notes) == bool(note)
    assert picture.whole


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_pictures_that_are_too_large_are_decoded_smaller(kind, monkeypatch):
    monkeypatch.setattr("fer.image.MAX_FILE_PIXELS", 60 * 100)
    content = encode(halves("RGB", "red", "blue").resize((100, 50)), kind)
    picture = read_picture(content, max_pixels=2000)
    assert picture.frame.shape == (25, 50, 3)
    assert picture.frame[12, 5].argmax() == 0
    assert picture.frame[12, 45].argmax() == 2
    assert picture.notes == ("it has 100 x 50 pixels and was read at 50 x 25; boxes are in those",)
    assert measure_image(content, max_pixels=2000) == (100, 50)
    with pytest.raises(ImageError, match="megapixels"):
        read_picture(content, max_pixels=2000, strict=True)
    large = encode(Image.new("RGB", (100, 61)), kind)
    with pytest.raises(ImageError, match="100 x 61"):
        read_picture(large, max_pixels=2000)


@pytest.mark.slow
def test_a_phone_photograph_of_200_megapixels_is_read():
    content = encode(Image.new("L", (16_320, 12_240)), "JPEG")
    assert read_picture(content).frame.shape == (6120, 8160, 3)


def test_open_files_bytes_pictures_and_frames_are_read(tmp_path):
    pixels = noise(6, 9)
    path = tmp_path / "picture.png"
    path.write_bytes(encode(Image.fromarray(pixels), "PNG"))
    content = path.read_bytes()
    sources = [path, str(path), content, bytearray(content), memoryview(content)]
    sources += [io.BytesIO(content), Image.fromarray(pixels), Image.open(path), pixels]
    for source in sources:
        assert (read_image(source) == pixels).all()
    with path.open("rb") as file:
        assert (read_image(file) == pixels).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(encode(Image.fromarray(pixels), "JPEG", exif=exif)))
    assert read_image(opened).shape == (9, 6, 3)
    assert opened.size == (9, 6)


@pytest.mark.parametrize("source", [None, 3, ["a.png"], {"a": 1}, object()])
def test_other_types_are_refused_by_name(source):
    with pytest.raises(InputError, match=rf"path, bytes.* Received: {type(source).__name__}"):
        read_image(source)


def test_files_that_are_open_for_text_or_closed_are_refused(tmp_path):
    with pytest.raises(InputError, match="gives str"):
        read_image(io.StringIO("text"))
    path = tmp_path / "picture.png"
    path.write_bytes(encode(Image.new("L", (2, 2)), "PNG"))
    with path.open("rb") as file:
        pass
    with pytest.raises(ImageError, match="closed"):
        read_image(file)
    with pytest.raises(InputError, match="frame"):
        read_image(np.zeros((4, 4)))


def test_a_file_without_leave_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(encode(Image.new("L", (2, 2)), "PNG"))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)  # root may read all
    with pytest.raises(ImageError, match="permission denied"):
        read_image(path)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(ImageError, match="gone"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError):
        read_image(b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_has_endings_and_is_read_by_them(kind, tmp_path):
    suffixes = [
        suffix for suffix in picture_suffixes() if Image.registered_extensions()[suffix] == kind
    ]
    assert suffixes
    for suffix in suffixes:
        content = encode(halves("RGB", "red", "blue"), kind)
        (tmp_path / f"picture{suffix}").write_bytes(content)
        assert read_image(tmp_path / f"picture{suffix}").shape == (4, 8, 3)


def _listed(pattern):
    """The names in a sentence of the handbook."""
    text = (ROOT / "docs" / "usage.md").read_text().partition("### Pictures")[2]
    return re.split(r", | and ", " ".join(re.search(pattern, text, re.S)[1].split()))


def test_what_the_handbook_says_is_read_is_read():
    picture = Image.fromarray(noise(40, 40))
    kinds = {"JPEG (also .mpo)": "MPO", "HEIC": "HEIF", "JPEG 2000": "JPEG2000"}
    kinds["WebP"] = "WEBP"
    names = _listed(r"\n\n(JPEG [^.]*\.mpo.*?) are read\.")
    assert {kinds.get(name, name) for name in names} | {"JPEG"} == set(FORMATS)
    for name in names:
        assert read_image(encode(picture, kinds.get(name, name))).shape == (40, 40, 3)


def test_what_the_handbook_says_has_a_note_has_one():
    pages = [Image.fromarray(noise(40, 40, seed)) for seed in (1, 2)]
    many = {"save_all": True, "append_images": pages[1:]}
    color = cv2.imencode(".tiff", np.float32(9 * np.dstack([_RAMP] * 3)))[1].tobytes()
    inputs = {
        "truncated JPEG": encode(pages[0], "JPEG")[:-400],
        "PNG": encode(pages[0], "PNG")[:-2000],
        "BMP": encode(pages[0], "BMP")[:-2000],
        "TIFF": encode(pages[0], "TIFF")[:-2000],
        "animation": encode(pages[0], "GIF", **many),
        "TIFF with several pages": encode(pages[0], "TIFF", **many),
        "10": encode(Image.fromarray((1000 * _RAMP).astype(np.uint16)), "PNG"),
        "12 bits in 16": encode(Image.fromarray((4000 * _RAMP).astype(np.uint16)), "TIFF"),
        "floating point": color,
        "32 bits in TIFF": encode(Image.fromarray((1e6 * _RAMP).astype(np.int32)), "TIFF"),
        "PFM": b"Pf\n50 50\n-1.0\n" + (9 * _RAMP).astype("<f4").tobytes(),
        "JPEG": encode(Image.new("RGB", (800, 800)), "JPEG"),
        "JPEG 2000 above 64 megapixels": encode(Image.new("RGB", (800, 800)), "JPEG2000"),
    }
    rows = []
    text = (ROOT / "docs" / "usage.md").read_text().partition("| input | what is read |")[2]
    for row in text.partition("\n\n")[0].splitlines()[2:]:
        rows += re.split(r", | and | or ", re.sub(r" \(.*", "", row.split("|")[1].strip()))
    assert set(rows) == set(inputs)
    for name, content in inputs.items():
        assert read_picture(content, max_pixels=100_000).notes, name


def test_what_the_handbook_says_is_not_read_is_named():
    heads = {
        "JPEG XL": b"\xff\x0a\xfa\x1f",
        "Radiance HDR": b"#?RADIANCE\n",
        "OpenEXR": b"v/1\x01\x02",
        "camera raw data": b"FUJIFILMCCD-RAW 0201",
        "PDF": b"%PDF-1.7",
        "SVG": b"<svg xmlns=",
        "a web page ...": b"<!doctype html>",
    }
    names = _listed(r"Other files \((.*?)\)")
    assert set(names) == set(heads)
    for name in names:
        with pytest.raises(ImageError, match="must be a picture") as caught:
            read_image(heads[name])
        assert name.split()[-2 if "..." in name else -1] in str(caught.value)


def test_what_is_no_regular_file_is_refused_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.jpg"))
    wanted = {
        tmp_path / "pipe.jpg": "a named pipe",
        tmp_path / "loop.jpg": "a symbolic link that leads back to itself",
        tmp_path / "gone.jpg": "a link to nothing",
        tmp_path / "s.jpg": "a socket",
        tmp_path: "a folder",
        Path("/dev/zero"): "a device",
        tmp_path / ("x" * 300): "file name too long",
        "a\0b.jpg": "a name with a null character",
    }
    for path, said in wanted.items():
        for function in (read_image, measure_image):
            with pytest.raises(ImageError, match=f"must be a file. Received: {said}"):
                function(path)


def test_a_pipe_that_the_shell_holds_is_read():
    receiver, sender = os.pipe()
    os.write(sender, encode(Image.fromarray(noise(8, 8)), "PNG"))
    os.close(sender)
    assert read_image(f"/dev/fd/{receiver}").shape == (8, 8, 3)
    os.close(receiver)


def test_messages_are_one_sentence_and_only_a_cut_file_is_said_to_break_off():
    whole = encode(Image.fromarray(noise(64, 64)), "PNG")
    for kind in ("HEIF", "AVIF", "WEBP", "GIF", "JPEG2000", "PNG", "JPEG"):
        content = encode(Image.fromarray(noise(64, 64)), kind)
        for n_bytes in (16, 40, len(content) // 2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    read_image(content[:n_bytes])
                except ImageError as error:
                    said = str(error)
                    assert "\n" not in said, said
                    assert " must be " in said, said
                    assert "Received: " in said, said
    damaged = whole[:60] + b"\0" * 400 + whole[460:]
    with pytest.raises(ImageError) as caught:
        read_image(damaged)
    assert "breaks off" not in str(caught.value)
    named = io.BytesIO()
    named.name = "<stdin>"
    with pytest.raises(ImageError, match=r"^standard input must be a picture\. Received: an empty"):
        read_image(named)


def test_a_picture_that_pillow_calls_a_bomb_is_refused_by_its_size(recwarn):
    for side in (10_000, 14_000):
        header = bytearray(encode(Image.new("L", (1, 1)), "PNG"))
        header[16:24] = struct.pack(">II", side, side)
        header[29:33] = struct.pack(">I", zlib.crc32(header[12:29]))
        with pytest.raises(ImageError, match=f"at most 64 megapixels. Received: {side} x {side}"):
            read_image(bytes(header))
    assert not recwarn.list


def test_other_formats_than_asked_for_are_refused():
    data = encode(Image.fromarray(noise(8, 8)), "PNG")
    with pytest.raises(ImageError):
        read_image(data, formats=("JPEG",))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs resource limits")
def test_12000_by_9000_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (12000, 9000)).save(path)
    code = (
        "import resource, sys\n"
        "from fer.errors import ImageError\n"
        "from fer.image import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    read_image(sys.argv[1])\n"
        "except ImageError as error:\n"
        "    print(error)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(after - before < 50_000)\n"  # KiB; the pixels alone are 105,000
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    message, small = done.stdout.splitlines()
    assert "12000 x 9000" in message
    assert small == "True"


def test_a_side_that_cannot_be_warped_is_refused():
    data = encode(Image.new("L", (40_000, 2)), "PNG")
    with pytest.raises(ImageError, match="40000 x 2"):
        read_image(data)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_ends_in_a_picture_or_an_image_error():
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 3
    picture = Image.fromarray(noise(32, 32))
    whole = [encode(picture, kind) for kind in ("PNG", "GIF", "WEBP", "TIFF", "AVIF", "BMP")]
    whole += [encode(picture, kind) for kind in ("HEIF", "JPEG2000")]
    whole.append(encode(picture, "JPEG", exif=exif))
    outcomes = set()
    for i in range(900):
        data = bytearray(whole[i % 9])
        for at in rng.integers(0, len(data), 6):
            data[at] = rng.integers(0, 256)
        try:
            outcomes.add(read_image(bytes(data), max_pixels=1_000_000).ndim)
        except ImageError:
            outcomes.add("refused")
    assert outcomes == {3, "refused"}


@pytest.mark.parametrize(("n_more", "max_scans"), [(91, MAX_SCANS), (400_000, MAX_SCANS), (1, 10)])
@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("function", [read_image, measure_image])
def test_a_jpeg_of_too_many_scans_is_refused(n_more, max_scans, as_file, function, tmp_path):
    content = many_scans(n_more, 8)
    source = tmp_path / "scans.jpg"
    source.write_bytes(content)
    with pytest.raises(ImageError, match=f"at most {max_scans} scans"):
        function(source if as_file else content, max_scans=max_scans)


@pytest.mark.parametrize(("n_more", "max_scans"), [(0, 10), (0, MAX_SCANS), (90, MAX_SCANS)])
def test_a_jpeg_of_as_many_scans_as_allowed_is_read(n_more, max_scans, tmp_path):
    content = many_scans(n_more)
    (tmp_path / "scans.jpg").write_bytes(content)
    frame = read_image(content, max_scans=max_scans)
    assert frame.shape == (48, 48, 3)
    assert (read_image(tmp_path / "scans.jpg", max_scans=max_scans) == frame).all()


@pytest.mark.parametrize(
    "before",
    [b"\xff\xfe\x00\x00", b"\xff\xfe\x00\x01", b"\xff\x02\xff\xff", b"\xff\xd3", b"\xff\xff"],
    ids=["comment of 0", "comment of 1", "unknown", "restart", "fill"],
)
def test_scans_do_not_hide_behind_damage(before):
    content = many_scans(0)
    last = content.rindex(b"\xff\xda")
    damaged = content[:last] + before + content[last:-2] * 150 + content[-2:]
    with pytest.raises(ImageError, match="scans"):
        read_image(damaged)


def test_what_only_looks_like_a_scan_is_none():
    small = encode(Image.fromarray(noise(8, 8)), "JPEG", progressive=True)
    exif = b"Exif\0\0" + b"\xff\xda" * 1000 + small
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    whole = encode(Image.fromarray(noise(64, 64)), "JPEG", progressive=True)
    # A thumbnail in front, and what follows the end of the picture, as in motion photos.
    content = whole[:2] + segment + whole[2:] + b"\xff\xda" * 1000
    assert (read_image(content, max_scans=10) == read_image(whole)).all()
    with pytest.raises(ImageError, match="at most 9 scans"):
        read_image(content, max_scans=9)
    # Any number of 0xFF may stand before the code of a marker.
    with pytest.raises(ImageError, match="scans"):
        read_image(many_scans(120).replace(b"\xff\xda", b"\xff\xff\xff\xda"))


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "TIFF", "WEBP"])
def test_a_picture_is_measured_by_its_header(kind, tmp_path):
    content = encode(Image.fromarray(noise(30, 50)), kind)
    (tmp_path / "picture").write_bytes(content)
    assert measure_image(content) == measure_image(tmp_path / "picture") == (50, 30)
    with pytest.raises(ImageError, match="megapixels"):
        measure_image(content, max_pixels=1499)
