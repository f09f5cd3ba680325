"""Name the format of pictures that cannot be read, from their first bytes and their name."""

from collections.abc import Collection
from os import PathLike
from pathlib import Path, PurePath

from fer.check import describe_place

__all__ = ["RAW", "UNREAD_SUFFIXES", "is_picture", "is_still", "name_format"]

RAW = "a camera's raw data"
# Of what begins as a file that is read.
_UNREADABLE = "of a kind that is not read, or a damaged one"
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"heim")

# First bytes, and what a file with them is. Sources: the formats' own documents, and file(1).
_STARTS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL"),
    (b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (b"\xff\xd8", f"a JPEG {_UNREADABLE}"),
    (b"\x89PNG", f"a PNG {_UNREADABLE}"),
    (b"GIF8", f"a GIF {_UNREADABLE}"),
    (b"FUJIFILMCCD-RAW", f"{RAW} (RAF)"),
    (b"IIRO", f"{RAW} (ORF)"),
    (b"IIRS", f"{RAW} (ORF)"),
    (b"IIU\x00", f"{RAW} (RW2)"),
    (b"FOVb", f"{RAW} (X3F)"),
    (b"\x00MRM", f"{RAW} (MRW)"),
    (b"II\xbc", "JPEG XR"),
    (b"II*\x00", f"a TIFF {_UNREADABLE}"),
    (b"MM\x00*", f"a TIFF {_UNREADABLE}"),
    (b"II+\x00", f"a BigTIFF {_UNREADABLE}"),
    (b"MM\x00+", f"a BigTIFF {_UNREADABLE}"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"8BPS", "Photoshop (PSD)"),
    (b"gimp xcf", "GIMP (XCF)"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?R", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"BPG\xfb", "BPG"),
    (b"DDS ", "DDS"),
    (b"SIMPLE  =", "FITS"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"PK\x03\x04", "a ZIP archive or a document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (b"FLV", "a video (FLV)"),
    (b"\x00\x00\x01\xba", "a video (MPEG)"),
    (b"version https://git-lfs", "a pointer of Git LFS instead of the file"),
)
_PICTURE_STARTS = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"II*\x00",
    b"MM\x00*",
    b"\xff\x0a",
    b"\x00\x00\x00\x0cj",
)
# Brands of the container that MP4, HEIC and AVIF share.
_BRANDS = {
    b"crx ": f"{RAW} (CR3)",
    **dict.fromkeys(_HEIF, f"a HEIC {_UNREADABLE}"),
    **dict.fromkeys((b"avif", b"avis"), f"an AVIF {_UNREADABLE}"),
}
_RIFF = {b"AVI ": "a video (AVI)", b"WEBP": f"a WebP {_UNREADABLE}", b"WAVE": "sound (WAV)"}

# Pictures by their ending that are not read; a folder names each of them instead.
UNREAD_SUFFIXES = frozenset(
    {
        # Pictures.
        *(".jxl", ".jxr", ".wdp", ".hdp", ".jls", ".exr", ".hdr", ".qoi"),
        *(".bpg", ".dds", ".tga", ".dcm", ".fits"),
        # Layers.
        *(".psd", ".psb", ".xcf"),
        # Raw data of cameras.
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf"),
        *(".sr2", ".raf", ".orf", ".rw2", ".pef", ".srw", ".x3f", ".mrw"),
        *(".3fr", ".erf", ".kdc", ".dcr", ".mef", ".mos", ".iiq", ".rwl"),
    }
)


def is_picture(path: PathLike[str] | str, suffixes: Collection[str]) -> bool:
    """Whether a file is a picture, read or not: by its ending, or without one by its beginning.

    Args:
        path: of the file.
        suffixes: endings of the pictures that are read.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix:
        return suffix in suffixes or suffix in UNREAD_SUFFIXES
    if describe_place(Path(path)):  # a pipe would wait for a writer
        return False
    try:
        with Path(path).open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    boxed = head[4:8] == b"ftyp" and _BRANDS.get(head[8:12]) is not None
    return boxed or head.startswith(_PICTURE_STARTS) or head[8:12] == b"WEBP"


def is_still(head: bytes) -> bool:
    """Whether a file is a picture in the container of MP4, by its first bytes."""
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS


def name_format(head: bytes) -> str:
    """Return what a file is, for people, by its first bytes.

    Args:
        head: the first 512 bytes, or all there are.
    """
    if not head:
        return "an empty file"
    if head[8:10] == b"CR" and head[:2] == b"II":
        return f"{RAW} (CR2)"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video (MP4, MOV)")
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "a RIFF file")
    if head[128:132] == b"DICM":
        return "DICOM"
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if not any(head):
        return "a file of zeros"
    return _name_text(head)


def _name_text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").strip().lower()
    if b"<svg" in text:
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text:
        return "a web page (HTML)"
    if text.startswith(b"<?xml"):
        return "XML"
    if all(letter >= 32 or letter in b"\t\r\n\f" for letter in head):
        return "text"
    return "a file that is none"
