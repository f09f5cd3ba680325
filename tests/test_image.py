import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fer.errors import ImageError
from fer.image import FORMATS, MAX_SCANS, measure_image, picture_suffixes, read_image
from tests.conftest import ROOT, noise


def encode(image, kind, **options):
    buffer = io.BytesIO()
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_cut_off_files_are_refused(kind):
    data = encode(Image.fromarray(noise(64, 64)), kind)
    for part in (0.9, 0.5, 0.1):
        with pytest.raises(ImageError):
            read_image(data[: int(len(data) * part)])


def test_text_named_jpg_is_refused_by_name(tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Sir or Madam")
    with pytest.raises(ImageError, match=r"letter\.jpg must be a picture"):
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
        (tmp_path / f"picture{suffix}").write_bytes(encode(halves("RGB", "red", "blue"), kind))
        assert read_image(tmp_path / f"picture{suffix}").shape == (4, 8, 3)


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
    whole.append(encode(picture, "JPEG", exif=exif))
    outcomes = set()
    for i in range(700):
        data = bytearray(whole[i % 7])
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


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_is_measured_by_its_header(kind, tmp_path):
    content = encode(Image.fromarray(noise(30, 50)), kind)
    (tmp_path / "picture").write_bytes(content)
    assert measure_image(content) == measure_image(tmp_path / "picture") == (50, 30)
    with pytest.raises(ImageError, match="megapixels"):
        measure_image(content, max_pixels=1499)
