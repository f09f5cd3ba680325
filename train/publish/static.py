"""The files of a page that needs no server: the recogniser runs on the visitor's device.

All that a browser runs is what the page with a server runs; only the tabs around it are of
`fer/web/static`.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer.errors import InputError
from fer.hub import (
    LITERT_NAME,
    WEIGHTS_FOLDER,
    load_browser_files,
    load_detector,
    load_folder,
)
from fer.pipeline import Pipeline
from fer.settings import space_owner
from fer.types import ModelConfig
from fer.web.examples.files import EXAMPLES_FOLDER, LICENCE_FILES, SOURCES_NAME, list_folder
from fer.web.icons import class_props, icon_svg
from fer.web.live.sample import CLIP_PATH, find_sample
from fer.web.notice import GUESS, TITLE, about_html, head_html, notice_html
from fer.web.photo.endings import page_endings
from fer.web.photo.tries import choose_tries
from fer.web.self_test import engine_props
from fer.web.server.assets import content_version, find_static_modules, preload_links
from train.publish.files import (
    LICENCE,
    README_NAME,
    ROOT,
    SOCIAL_NAME,
    Files,
    local_links,
    read_file,
    read_social,
    social_url,
)
from train.publish.render import render_template

__all__ = ["static_files"]

_WEB = ROOT / "fer" / "web"
_INDEX = "index.html"
_CARD = "model_card.md"
_THIRD_PARTY = "THIRD_PARTY.txt"
# `wasm-unsafe-eval` lets WebAssembly be compiled, and no JavaScript.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'"
)
_KEPT = """Nothing leaves this device: the recogniser is downloaded once and runs in your browser.
Camera frames and pictures are analysed there and dropped."""
_HANDLING = """No picture and no result is sent anywhere. The browser keeps the files of this page,
so that it works without a network, until you clear its data."""
# What the recogniser reads, and pictures: fetched when a visitor wants them.
_HEAVY = ("model/", "local/ort/", "pictures/", "samples/")
# Beside the page, where its worker does not keep it: it is fetched when it is watched.
_CLIP = CLIP_PATH.name
# Modules of tabs that need a server, and the worker, which lies beside the page.
_UNUSED = ("video/", "examples/compare.js", "static/sw.js")


@dataclass(frozen=True)
class _Tab:
    """A tab: its name in the page, its title, its HTML."""

    name: str
    title: str
    html: str


def _read(name: str) -> str:
    return read_file(_WEB / name).decode()


def _view(name: str, template: str) -> str:
    return f'<div id="{name}">\n{_read(template)}</div>'


def _scoped(css: str, selector: str) -> str:
    """Nest a component's CSS in its selector, as Gradio does."""
    return f"{selector} {{\n{css}}}\n"


def _style() -> str:
    parts = [
        *(_read("static/static.css"), _read("page.css")),
        _scoped(_read("live/live.css"), "#live"),
        _scoped(_read("photo/photo.css"), ":is(#photo, #example)"),
        _scoped(_read("examples/examples.css"), "#examples-gallery"),
    ]
    return "\n".join(parts)


def _tabs() -> list[_Tab]:
    gallery = _view("examples-gallery", "examples/examples.html")
    view = _view("example", "photo/photo.html")
    intro = _read("examples/intro.html")
    examples = f"{intro}{gallery}\n{view}"
    return [
        _Tab("live", "Live", _view("live", "live/live.html")),
        _Tab("photo", "Photo", _view("photo", "photo/photo.html")),
        _Tab("examples", "Examples", examples),
    ]


@dataclass(frozen=True)
class _Example:
    """A picture of the gallery, which is its own thumbnail.

    Attributes:
        path: below the page's modules.
        content: of the file, a JPEG.
        row: of SOURCES.csv.
    """

    path: str
    content: bytes
    row: dict[str, str]

    @property
    def props(self) -> dict[str, str]:
        """What fer/web/examples/examples.js reads."""
        about = {key: self.row[key] for key in ("caption", "detail", "expression")}
        return {"name": self.row["file"], **about, "thumbnail": self.path, "url": self.path}


def _read_sources() -> dict[str, dict[str, str]]:
    """Return the rows of SOURCES.csv by file."""
    with (EXAMPLES_FOLDER / SOURCES_NAME).open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def _list_examples() -> list[_Example]:
    """Return the project's pictures."""
    rows = _read_sources()
    paths = [each.path for each in list_folder(EXAMPLES_FOLDER) if each.kind == "picture"]
    return [_Example(f"pictures/{path.name}", read_file(path), rows[path.name]) for path in paths]


def _sources(examples: Sequence[_Example]) -> bytes:
    """Return the table of where the pictures and the clip come from."""
    table = io.StringIO()
    writer = csv.DictWriter(table, list(examples[0].row))
    writer.writeheader()
    writer.writerows([*(each.row for each in examples), _read_sources()[_CLIP]])
    return table.getvalue().encode()


def _assets(
    weights: Path, yunet_path: Path | str | None, examples: Sequence[_Example]
) -> tuple[Files, dict[str, Any]]:
    """Return what the page loads by path, and the props of its tabs."""
    classifier = load_folder(weights)
    model = load_browser_files(str(weights), None, yunet_path)
    files = {
        name: read_file(path)
        for name, path in find_static_modules().items()
        if not name.startswith(_UNUSED)
    }
    files |= {f"model/{name}": read_file(path) for name, path in model.items()}
    files["page.css"] = _style().encode()
    files["icon.svg"] = _icon()
    names = classifier.config.class_names
    files |= {each.path: each.content for each in examples}
    sample = find_sample(Pipeline(load_detector("yunet", yunet_path=yunet_path), classifier))
    if sample is None:
        raise InputError(f"{CLIP_PATH} must be a file. Received: no such file")
    files["samples/still.jpg"] = sample.still
    props = {
        "engine": engine_props(classifier, model),
        "has_votes": bool(classifier.config.vote_names),
        "has_neutral": classifier.config.neutral_logits is not None,
        "sample": sample.props(f"../../{_CLIP}"),
        "endings": page_endings(),
        "examples": [each.props for each in examples],
        "tries": choose_tries([each.props for each in examples]),
    }
    return files, {**props, **class_props(names)}


def _third_party() -> bytes:
    """Return the licences of what is not of this project."""
    licences = sorted(EXAMPLES_FOLDER.glob(LICENCE_FILES))
    parts = [_read("local/ort/LICENSE"), _read("static/third_party.txt"), *map(_text, licences)]
    return "\n\n".join(parts).encode()


def _icon() -> bytes:
    svg = icon_svg("happy").replace(
        '<svg class="fer-icon"',
        '<svg xmlns="http://www.w3.org/2000/svg" fill="none" stroke="#0d9488" stroke-width="1.8" '
        'stroke-linecap="round"',
    )
    return svg.encode()


def _worker(version: str, index: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return the service worker, which knows the hash of each file."""
    listed = {_INDEX: index, **files}
    heavy = tuple(_base(version) + folder for folder in _HEAVY)
    page = {
        "version": version,
        "index": _INDEX,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in listed.items()},
        "shell": [name for name in listed if not name.startswith(heavy)],
    }
    return f"const PAGE = {json.dumps(page, indent=1)};\n\n{_read('static/sw.js')}".encode()


def _base(version: str) -> str:
    return f"fer/{version}/"


def _index(
    base: str,
    modules: list[str],
    config: ModelConfig,
    props: dict[str, Any],
    links: list[tuple[str, str]],
    operator: str | None,
    card: str,
) -> str:
    """Fill in index.html."""
    return render_template(
        _INDEX,
        _WEB / "static",
        base=base,
        policy=_POLICY,
        title=TITLE,
        guess=GUESS,
        card=card,
        preload=preload_links(base, modules),
        head=head_html(),
        tabs=_tabs(),
        notice=notice_html(_KEPT, [_HANDLING], operator),
        about=about_html(f"Model: {config.recipe}. Face detector: YuNet."),
        links=links,
        # So that no text of it ends the element.
        props=json.dumps(props).replace("<", "\\u003c"),
    )


def _card_files(config: ModelConfig) -> Files:
    """Return the model card and what it shows, where it is about these weights."""
    card = ROOT / _CARD
    if not card.is_file() or config.files.get(LITERT_NAME, "-") not in (text := _text(card)):
        return {}
    shown = {name: ROOT / name for name in local_links(text)}
    return {_CARD: card.read_bytes()} | {
        name: path.read_bytes() for name, path in shown.items() if path.is_file()
    }


def _text(path: Path) -> str:
    return read_file(path).decode()


def static_files(
    weights: Path = WEIGHTS_FOLDER,
    model_repo: str | None = None,
    dataset_id: str | None = None,
    space_id: str | None = None,
    yunet_path: Path | str | None = None,
) -> Files:
    """Return the files of a page without a server, by path; it works below any address.

    Args:
        weights: folder with fer.json, model.tflite and model_web.onnx.
        model_repo: model repository of the Hub whose card the page links to; the card of this
            project when None, if it is about these weights.
        dataset_id: data set of the Hub that the model was trained on, for the metadata.
        space_id: Space of the Hub that gets the files, which shows the card of this project; None
            for another host.
        yunet_path: as for `fer.hub.load_detector`.

    Raises:
        InputError: a file is missing.
        ConfigError: the weights have no format for browsers, or a file has another hash.
        HubError: YuNet is unavailable.
    """
    config = load_folder(weights).config
    examples = _list_examples()
    assets, props = _assets(weights, yunet_path, examples)
    others: Files = {LICENCE: read_file(ROOT / LICENCE), _THIRD_PARTY: _third_party()}
    others |= {SOURCES_NAME: _sources(examples), _CLIP: read_file(CLIP_PATH)}
    links = [
        ("Licence", LICENCE),
        ("Licences of what it contains", _THIRD_PARTY),
        ("Sources of the examples", SOURCES_NAME),
    ]
    if model_repo is not None:
        links.insert(0, ("Model card", f"https://huggingface.co/{model_repo}"))
    elif card := _card_files(config):
        others |= card
        shown = f"https://huggingface.co/spaces/{space_id}/blob/main/{_CARD}"
        links.insert(0, ("Model card", _CARD if space_id is None else shown))

    operator = None if space_id is None else space_owner(space_id)
    others[SOCIAL_NAME] = read_social()
    shown_as = SOCIAL_NAME if space_id is None else social_url(space_id)

    def index(base: str) -> bytes:
        return _index(base, sorted(assets), config, props, links, operator, shown_as).encode()

    # The page names the version, so it counts with an address that does not.
    version = content_version(assets | {_INDEX: index("")})
    base = _base(version)
    placed = {base + name: content for name, content in assets.items()}
    readme = render_template(
        "static.md",
        thumbnail=None if space_id is None else shown_as,
        class_names=config.class_names,
        model_repo=model_repo,
        dataset_id=dataset_id,
    )
    files = {
        **placed,
        **others,
        _INDEX: index(base),
        "sw.js": _worker(version, index(base), placed),
        "fer.js": f'export * from "./{base}local/fer.js";\n'.encode(),
        README_NAME: readme.encode(),
    }
    return dict(sorted(files.items()))
