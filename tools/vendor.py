"""Bring onnxruntime-web into fer/web/local/ort/: `make vendor`, or with a newer VERSION.

The npm package at a pinned version and hash; the WebAssembly file is kept gzipped, because not
every host compresses it. Its licence, MIT, is next to it.
"""

import base64
import gzip
import hashlib
import io
import json
import sys
import tarfile
import urllib.request
from pathlib import Path

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-" + (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
REGISTRY = "https://registry.npmjs.org"
FOLDER = Path(__file__).parents[1] / "fer" / "web" / "local" / "ort"
# WebAssembly alone, its glue in the same module: 14 MB where the build with WebGPU has 27.
MODULE = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"


def read_members(package: bytes) -> dict[str, bytes]:
    """Return the two files in the tarball of the package.

    Raises:
        SystemExit: the tarball is not the one that INTEGRITY names.
    """
    received = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if received != INTEGRITY:
        sys.exit(f"{PACKAGE} {VERSION} must have {INTEGRITY}. Received: {received}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        found = {name: archive.extractfile(f"package/dist/{name}") for name in (MODULE, WASM)}
        return {name: file.read() for name, file in found.items() if file is not None}


def write_files(members: dict[str, bytes], folder: Path) -> None:
    """Write module, gzipped WebAssembly and `version.js` with what load.js must know of them."""
    lines = members[MODULE].decode().splitlines()
    module = "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL"))
    (folder / MODULE).write_text(module + "\n", encoding="utf-8")
    (folder / f"{WASM}.gz").write_bytes(gzip.compress(members[WASM], 9, mtime=0))
    facts = {
        "name": PACKAGE,
        "version": VERSION,
        "licence": "MIT",
        "integrity": INTEGRITY,
        "module": MODULE,
        "wasm": f"{WASM}.gz",
        "wasmSha256": hashlib.sha256(members[WASM]).hexdigest(),
    }
    text = f"// Written by `make vendor`.\nexport const RUNTIME = {json.dumps(facts, indent=2)};\n"
    (folder / "version.js").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    url = f"{REGISTRY}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    with urllib.request.urlopen(url, timeout=120) as reply:
        write_files(read_members(reply.read()), FOLDER)
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.stat().st_size:>10,} {path.name}")
