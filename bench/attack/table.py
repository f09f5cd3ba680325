"""The attacks: what is tried, and what must be true of the answers."""

import asyncio
import base64
import io
import itertools
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from PIL import Image

from bench.attack.files import PICTURES, VIDEOS, face_jpeg, hidden_scans, many_scans
from bench.attack.page import Page, Visit

__all__ = ["ATTACKS", "Attack", "Broken"]

_API = "/gradio_api"
_ADDRESSES = itertools.cycle(f"203.0.113.{i}" for i in range(1, 250))
_FILE_DATA = {"_type": "gradio.FileData"}
_SLOW_S = 20.0
# The page gives freed memory back every few seconds.
_MEMORY_S = 20.0


class Broken(AssertionError):
    """The page let through what it must not."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Something that a hostile visitor tries.

    Attributes:
        name: for the table.
        run: tries it once against a page; returns what it saw.
        heavy: whether the page works on it for seconds.
    """

    name: str
    run: Callable[[Page], Awaitable[str]]
    heavy: bool = False


def _expect(true: bool, what: str) -> None:
    if not true:
        raise Broken(what)


def _statuses(answers: Sequence[httpx.Response]) -> str:
    return " ".join(str(status) for status in sorted({answer.status_code for answer in answers}))


def _check_refused(answers: Sequence[httpx.Response], what: str) -> str:
    for answer in answers:
        _expect(400 <= answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:80]}")
    return _statuses(answers)


def _mark_of(text: str) -> str:
    """Return an answer without what differs from call to call."""
    try:
        data = json.loads(text)
    except ValueError:
        return text
    return json.dumps(data, sort_keys=True)


def _paths(page: Page) -> dict[str, str]:
    """Return names of things that no visitor sent, by what they are; made where they are not."""
    secret = page.outside / "secret.jpg"
    if not secret.exists():
        secret.write_bytes(face_jpeg())
        (page.outside / "notes.txt").write_text("nothing for visitors")
        (page.outside / "link.jpg").symlink_to(secret)
        os.mkfifo(page.outside / "pipe.jpg")
    root = Path(__file__).parents[2]
    return {
        "picture": str(secret),
        "relative": os.path.relpath(secret, root),
        "own example": "examples/astronaut_happy.jpg",
        "up and down": f"{page.outside}/../{page.outside.name}/secret.jpg",
        "link": str(page.outside / "link.jpg"),
        "by process": f"/proc/self/root{secret}",
        "by folder": "/proc/self/cwd/examples/astronaut_happy.jpg",
        "output": "/proc/self/fd/1",
        "device": "/dev/zero",
        "pipe": str(page.outside / "pipe.jpg"),
        "text": str(page.outside / "notes.txt"),
        "folder": str(page.outside),
        "none": str(page.outside / "none.jpg"),
        "address": f"file://{secret}",
        "other address": "http://127.0.0.1:9/secret.jpg",
        "below uploads": f"{page.temporary}/uploads/../../outside/secret.jpg",
    }


def _forms(path: str) -> list[Any]:
    """Return the ways to name a file in a call."""
    return [
        {"path": path},
        {"path": path, "meta": _FILE_DATA},
        {"path": path, "url": path, "meta": _FILE_DATA, "orig_name": "a.jpg", "size": 9},
        {"path": "a.jpg", "url": f"{_API}/file={path}", "meta": _FILE_DATA},
        {"path": path, "is_stream": True, "meta": _FILE_DATA},
        [{"path": path, "meta": _FILE_DATA}],
        {"image": {"path": path, "meta": _FILE_DATA}},
        path,
    ]


async def _own_files(page: Page) -> str:
    """Name files of the machine in calls by name, in every form."""
    by_form: dict[int, set[str]] = {}
    async with page.visit(next(_ADDRESSES)) as visit:
        for path in _paths(page).values():
            for i, form in enumerate(_forms(path)):
                for endpoint, more in (("predict_image", []), ("predict_video", [5])):
                    try:
                        status, text = await asyncio.wait_for(
                            visit.call(endpoint, [form, *more]), 30
                        )
                    except TimeoutError:
                        raise Broken(f"{path} holds a call") from None
                    _expect('"faces"' not in text, f"{path} was analysed")
                    _expect(status < 500, f"{path} gives {status}")
                    by_form.setdefault(i, set()).add(f"{status} {_mark_of(text)}")
    for answers in by_form.values():
        _expect(len(answers) == 1, f"paths are told apart: {sorted(answers)[:2]}")
    return f"{len(by_form)} forms refused alike"


async def _own_files_served(page: Page) -> str:
    """Ask for files of the machine by address."""
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        for path in _paths(page).values():
            for form in (path, quote(path, safe=""), quote(quote(path, safe=""), safe="")):
                answers.append(await visit.client.get(f"{_API}/file={form}"))
    kinds = {(answer.status_code, answer.text) for answer in answers}
    _expect(len({status for status, _ in kinds}) == 1, f"files are told apart: {kinds}")
    return _check_refused(answers, "a file")


async def _other_visitors_file(page: Page) -> str:
    """Look for an upload by names that could be guessed, and by ways around its folder."""
    async with page.visit(next(_ADDRESSES)) as one, page.visit(next(_ADDRESSES)) as other:
        path = await one.upload("mine.jpg", face_jpeg())
        if path is None:
            return "busy"
        _expect(len(Path(path).parent.parent.name) >= 32, "an upload's folder can be guessed")
        folder = str(Path(path).parents[1])
        answers = [
            await other.client.get(f"{_API}/file={each}")
            for each in (folder, f"{folder}/..", f"{folder}/*", f"{folder}/../x/mine.jpg")
        ]
        return _check_refused(answers, "a folder of uploads")


_NAMES: dict[str, str] = {
    "surrogate": r'"\ud800"',
    "two surrogates": r'"\udfff\ud800"',
    "null character": r'"a\u0000b"',
    "line": r'"a\nINFO b"',
    "long": json.dumps("a" * 100_000),
    "right to left": '"a\\u202eb"',
    "path": '"../../etc"',
    "number": "7",
    "object": '{"a": 1}',
    "list": '["a"]',
    "markup": '"<script>"',
    "empty": '""',
}


async def _bad_names(page: Page) -> str:
    """Send names of sessions, events and visitors that are none."""
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        for name in _NAMES.values():
            for path, body in (
                ("/queue/join", f'{{"data":[],"fn_index":0,"session_hash":{name}}}'),
                ("/call/live_frame", f'{{"data":["",null,0],"session_hash":{name}}}'),
                ("/reset", f'{{"event_id":{name}}}'),
                ("/cancel", f'{{"session_hash":{name},"fn_index":0,"event_id":{name}}}'),
                (
                    "/component_server",
                    f'{{"data":{{}},"component_id":0,"fn_name":"x","session_hash":{name}}}',
                ),
            ):
                answers.append(await visit.post(_API + path, body.encode()))
        for name in ("%ED%A0%80", "a" * 5000, "..%2f..", "a%00b", "a%0ab", "%F0%9F%98%80"):
            answers.append(await visit.client.get(f"{_API}/queue/data?session_hash={name}"))
            answers.append(await visit.client.get(f"{_API}/heartbeat/{name}"))
    return _check_refused(answers, "a name")


async def _odd_json(page: Page) -> str:
    """Send JSON that is deep, huge, doubled or none."""
    deep = b'{"data":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    objects = b'{"data":[' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"]}"
    bodies = [
        *(deep, objects, b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"NaN", b'"a"'),
        b'{"data":[1e999]}',
        b'{"data":[NaN]}',
        b'{"data":[' + b"9" * 100_000 + b"]}",
        b'{"data":["' + b"\\ud800" * 1000 + b'"]}',
        b'{"data":[' + b"[]," * 100_000 + b"[]]}",
        b'{"data":["' + b"a" * 2_000_000 + b'"]}',
        b'{"data":[{' + b",".join(b'"%d":0' % i for i in range(95_000)) + b"}]}",
        b'{"data":[' + b",".join([b'{"":0}'] * 90_000) + b"]}",
    ]
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        for path in ("/call/predict_image", "/queue/join", "/component_server", "/run/predict"):
            for body in bodies:
                answers.append(await visit.post(_API + path, body))
    return _check_refused(answers, "JSON")


async def _bad_frames(page: Page) -> str:
    """Send live frames that are none; each must be answered with a code."""
    frames = [
        *(None, 7, "", "data:image/jpeg;base64,", "data:image/png;base64,AAAA"),
        "data:image/jpeg;base64," + "A" * 600_000,
        "data:image/jpeg;base64," + base64.b64encode(many_scans(3000, 16)).decode(),
        "data:image/jpeg;base64," + base64.b64encode(hidden_scans(3000, 16)).decode(),
        "data:image/jpeg;base64," + base64.b64encode(face_jpeg()[:4000]).decode(),
        {"path": "/etc/passwd", "meta": _FILE_DATA},
    ]
    states: list[Any] = [None, {}, [], "x", {"tracks": [{"id": 2**62}]}, {"version": 10**30}]
    n_refused = 0
    async with page.visit(next(_ADDRESSES)) as visit:
        for frame, state in itertools.product(frames, states):
            status, text = await visit.call("live_frame", [frame, state, 1.0])
            _expect(status < 500, f"a frame gives {status}")
            _expect('"faces"' not in text, "a frame that is none was analysed")
            n_refused += 1
    return f"{n_refused} refused"


def _file_attack(endpoint: str, name: str, make: Callable[[], bytes], *more: Any) -> Attack:
    made: list[bytes] = []

    async def run(page: Page) -> str:
        if not made:
            made.append(await asyncio.to_thread(make))
        async with page.visit(next(_ADDRESSES)) as visit:
            text = await visit.analyse(endpoint, name, made[0], *more)
        for secret in ("/etc/passwd", "root:x:", "Traceback", str(page.temporary.parent)):
            shown = text.replace(str(page.temporary), "")
            _expect(secret not in shown, f"{name}: the answer has {secret}")
        kinds = ("refused", '"faces"', '"error"', '"persons"', "event: error")
        return next((kind.strip('"') for kind in kinds if kind in text), text[:40])

    return Attack(f"{endpoint} {name}", run, heavy=True)


async def _two_bombs(page: Page) -> str:
    """Send two enormous pictures at once, from two addresses."""
    content = await asyncio.to_thread(PICTURES["bomb.webp"])
    async with page.visit(next(_ADDRESSES)) as one, page.visit(next(_ADDRESSES)) as other:
        texts = await asyncio.gather(
            *(visit.analyse("predict_image", "bomb.webp", content) for visit in (one, other))
        )
    return " ".join("answered" if '"faces"' in text else "refused" for text in texts)


async def _waiting_crowd(page: Page) -> str:
    """Send many slow pictures at once; all are answered or sent away within the time-out."""
    content = await asyncio.to_thread(PICTURES["few_scans.jpg"])

    async def one() -> str:
        async with page.visit(next(_ADDRESSES)) as visit:
            return await visit.analyse("predict_image", "scans.jpg", content)

    texts = await asyncio.gather(*(one() for _ in range(12)))
    busy = sum("busy" in text or "stale" in text for text in texts)
    return f"{busy} of {len(texts)} sent away"


@asynccontextmanager
async def _connections(page: Page, n: int, head: bytes) -> AsyncIterator[list[Any]]:
    """Open connections that have sent `head`; `%d` in it is a number of their own."""
    where = urlsplit(page.url)
    opened = []
    try:
        for i in range(n):
            reader, writer = await asyncio.open_connection(where.hostname, where.port)
            writer.write(head.replace(b"%d", str(1 + i % 2).encode()))
            opened.append((reader, writer))
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


def _write(opened: list[Any], content: bytes) -> None:
    """Write to the connections that the page has not closed."""
    for _, writer in opened:
        if not writer.is_closing():
            writer.write(content)


async def _slow_uploads(page: Page) -> str:
    """Announce large uploads from two addresses, send a byte every two seconds, and wait."""
    async with _connections(page, 60, _upload_head(page)) as opened:
        for _ in range(int(_SLOW_S / 2)):
            _write(opened, b"x")
            await asyncio.sleep(2)
        async with page.visit(next(_ADDRESSES)) as visit:
            path = await visit.upload("face.jpg", face_jpeg())
        _expect(path is not None, "slow uploads leave no room for another")
        closed = sum(await asyncio.gather(*(_has_ended(reader) for reader, _ in opened)))
    _expect(closed == len(opened), f"{len(opened) - closed} slow uploads go on")
    return f"{closed} of {len(opened)} ended"


async def _has_ended(reader: asyncio.StreamReader) -> bool:
    """Return whether the page has closed a connection; what it sent before is dropped."""
    try:
        await asyncio.wait_for(reader.read(), 0.2)
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def _upload_head(page: Page) -> bytes:
    """Return the head of an announcement of 199 MB; `%d` in it is a number."""
    return (
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: "
        + urlsplit(page.url).netloc.encode()
        + b"\r\nX-Forwarded-For: 192.0.2.%d\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 199000000\r\n\r\n--b\r\n"
        b'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    )


async def _steady_uploads(page: Page) -> str:
    """Announce large uploads from two addresses, and send them just fast enough."""
    large = face_jpeg() + bytes(30_000_000)
    n_sent = 0
    async with (
        _connections(page, 36, _upload_head(page)) as opened,
        page.visit(next(_ADDRESSES)) as visit,
    ):
        for i in range(int(_SLOW_S)):
            _write(opened, bytes(36_000))
            await asyncio.sleep(1)
            if i % 5 == 4:
                path = await visit.upload("large.jpg", large)
                _expect(path is not None, "announced uploads leave no room for another")
                n_sent += 1
    return f"{n_sent} of another came in"


async def _hung_up_uploads(page: Page) -> str:
    """Announce large uploads, send a part and hang up, again and again."""
    for _ in range(5):
        async with _connections(page, 12, _upload_head(page)) as opened:
            _write(opened, bytes(100_000))
            await asyncio.sleep(0.2)
    async with page.visit(next(_ADDRESSES)) as visit:
        path = await visit.upload("face.jpg", face_jpeg())
    _expect(path is not None, "uploads that broke off leave no room for another")
    return "60 hung up"


async def _many_small_files(page: Page) -> str:
    """Leave many small uploads and results there; another's come in and go as before."""
    async with page.visit(next(_ADDRESSES)) as visit:
        for _ in range(60):
            _expect(await visit.upload("face.jpg", face_jpeg()) is not None, "no room for a photo")
    async with page.visit(next(_ADDRESSES)) as visit:
        text = await visit.analyse("predict_image", "face.jpg", face_jpeg())
    _expect('"faces"' in text, f"a picture of another is not analysed: {text[:80]}")
    return "60 there"


async def _full_queue(page: Page) -> str:
    """Fill the queue from one address; a picture of another is looked at all the same."""
    content = await asyncio.to_thread(PICTURES["few_scans.jpg"])
    async with page.visit("192.0.2.78") as hostile, page.visit(next(_ADDRESSES)) as visit:
        path = await hostile.upload("scans.jpg", content)
        _expect(path is not None, "no room for a photo")
        file = {"path": path, "meta": _FILE_DATA}
        jobs = [asyncio.ensure_future(hostile.call("predict_image", [file])) for _ in range(60)]
        await asyncio.sleep(1)
        began = time.monotonic()
        text = await visit.analyse("predict_image", "face.jpg", face_jpeg())
        took_s = time.monotonic() - began
        statuses = [status for status, _ in await asyncio.gather(*jobs)]
    _expect('"faces"' in text, f"a picture of another is not analysed: {text[:80]}")
    _expect(429 in statuses, "one address may have any number of calls")
    return f"{statuses.count(429)} of {len(statuses)} sent away, another waited {took_s:.0f} s"


async def _page_again(page: Page) -> str:
    """Ask for the page again and again from one address; another gets it."""
    statuses: Counter[int] = Counter()

    async def ask(visit: Visit) -> None:
        for _ in range(40):
            statuses[(await visit.client.get("/")).status_code] += 1

    async with page.visit("192.0.2.79") as hostile, page.visit(next(_ADDRESSES)) as visit:
        jobs = [asyncio.ensure_future(ask(hostile)) for _ in range(8)]
        for _ in range(5):
            _expect((await visit.client.get("/")).status_code == 200, "another gets no page")
            await asyncio.sleep(0.5)
        await asyncio.gather(*jobs)
    _expect(set(statuses) <= {200, 429} and statuses[429] > 0, f"the page gives {statuses}")
    return f"{statuses[429]} of {statuses.total()} sent away"


_INDICES: tuple[Any, ...] = (-1, 1.5, None, "a", True, [0, 1], {}, 1e299)
_SELECTIONS: tuple[Any, ...] = (
    *(None, {}, [], 7, "x", {"index": 0}, {"value": 0}, {"index": 10**6, "value": 0}),
    *({"index": index, "value": 0} for index in _INDICES),
)


async def _odd_events(page: Page) -> str:
    """Call each function of the page with odd data of events, and without its inputs."""
    statuses: Counter[int] = Counter()
    async with page.visit(next(_ADDRESSES)) as visit:
        functions = (await visit.client.get("/config")).json()["dependencies"]
        odd: tuple[Any, ...] = (None, {}, "x", [None] * 9)
        for i, function in enumerate(functions):
            call = {"fn_index": function["id"], "session_hash": f"odd{i}"}
            selections = _SELECTIONS if function.get("collects_event_data") else (None,)
            calls: list[dict[str, Any]] = [call | {"data": data} for data in odd]
            calls += [
                call | {"data": [None] * len(function["inputs"]), "event_data": each}
                for each in selections
            ]
            for each, route in itertools.product((call, *calls), ("queue/join", "run/x")):
                answer = await visit.post(f"{_API}/{route}", json.dumps(each).encode())
                statuses[answer.status_code] += 1
                _expect(
                    answer.status_code < 500, f"{function['api_name']} gives {answer.text[:80]}"
                )
                await asyncio.sleep(0.01)
    return " ".join(f"{n} x {status}" for status, n in statuses.items())


async def _odd_numbers(page: Page) -> str:
    """Ask for videos at rates that are none."""
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        for rate in ("-5", "0", "31", "1e299", "1e999", "NaN", "-Infinity", '"5"', "true", "[5]"):
            for route, body in (
                ("call/predict_video", f'{{"data":[null,{rate}]}}'),
                ("call/v2/predict_video", f'{{"video":null,"rate":{rate}}}'),
            ):
                answers.append(await visit.post(f"{_API}/{route}", body.encode()))
    return _check_refused(answers, "a rate")


async def _assistant(page: Page) -> str:
    """Send a picture as assistants do, and look for it on the disk after the answer."""
    picture = face_jpeg() + secrets.token_bytes(32)
    async with page.visit(next(_ADDRESSES)) as visit:
        answer = await visit.ask_tool("predict_image", picture)
    if answer.status_code == 404:
        return "no assistants"
    _expect("'faces'" in answer.text, f"an assistant's picture: {answer.text[:80]}")
    n_left = 0
    for path in page.files():
        with suppress(OSError):  # others' come and go
            n_left += path.read_bytes() == picture
    _expect(not n_left, "a picture of an assistant stays")
    return "gone"


async def _slow_heads(page: Page) -> str:
    """Open many connections that never finish their headers; others are still served."""
    async with _connections(page, 200, b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ") as opened:
        async with page.visit(next(_ADDRESSES)) as visit:
            answer = await visit.client.get("/health")
        _expect(answer.status_code == 200, f"/health gives {answer.status_code}")
    return f"{len(opened)} open"


async def _tiny_chunks(page: Page) -> str:
    """Send a body in chunks of a byte; the connection ends, and others are still served."""
    head = f"POST {_API}/upload HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\n"
    start = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"1\r\nx\r\n" * 50_000
    async with _connections(page, 3, start) as opened:
        async with page.visit(next(_ADDRESSES)) as visit:
            answer = await visit.client.get("/health")
        _expect(answer.status_code == 200, f"/health gives {answer.status_code}")
        for reader, _ in opened:
            with suppress(ConnectionError):
                async with asyncio.timeout(_SLOW_S):
                    status = await reader.readline()
                    _expect(b" 400 " in status, f"chunks of a byte give {status!r}")
                    await reader.read()
    return f"{len(opened)} ended"


async def _many_streams(page: Page) -> str:
    """Open more streams of events than anybody needs from one address."""
    statuses: list[int] = []
    async with page.visit("192.0.2.77") as visit:

        async def listen() -> None:
            name = secrets.token_hex(6)
            route = f"{_API}/queue/data?session_hash={name}"
            try:
                async with visit.client.stream("GET", route) as answer:
                    statuses.append(answer.status_code)
                    await asyncio.sleep(4)
            except httpx.HTTPError:
                statuses.append(0)

        await asyncio.gather(*(listen() for _ in range(90)))
    _expect(all(status < 500 for status in statuses), f"streams give {set(statuses)}")
    async with page.visit(next(_ADDRESSES)) as visit:
        _expect((await visit.client.get("/health")).status_code == 200, "no health beside streams")
    return " ".join(map(str, sorted(set(statuses))))


async def _other_hosts(page: Page) -> str:
    """Ask by names that are not the page's, as a browser does after DNS rebinding."""
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.x"):
            for path in ("/", "/config", "/health", f"{_API}/info"):
                answers.append(await visit.client.get(path, headers={"host": host}))
    return _check_refused(answers, "another host")


async def _other_origins(page: Page) -> str:
    """Ask from pages of others, which must not be able to read or to change anything."""
    body = json.dumps({"data": ["", None, 0]}).encode()
    async with page.visit(next(_ADDRESSES)) as visit:
        for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
            asked = [
                await visit.client.get("/config", headers={"origin": origin}),
                await visit.client.get("/health", headers={"origin": origin}),
                await visit.client.options(
                    f"{_API}/call/live_frame",
                    headers={"origin": origin, "access-control-request-method": "POST"},
                ),
            ]
            sent = [
                await visit.post(f"{_API}/call/live_frame", body, origin=origin),
                await visit.client.post(
                    f"{_API}/call/live_frame",
                    content=body,
                    headers={"origin": origin, "content-type": "text/plain"},
                ),
                await visit.send_files(
                    [("files", ("a.jpg", face_jpeg(), "image/jpeg"))], headers={"origin": origin}
                ),
            ]
            for answer in (*asked, *sent):
                allowed = answer.headers.get("access-control-allow-origin")
                _expect(allowed is None, f"{origin} may read {answer.url.path}: {allowed}")
            _check_refused(sent, f"a call of {origin}")
    return "no answer for others"


_ROUTES = (
    *("/login/huggingface", "/logout", "/token", "/user", "/monitoring", "/monitoring/x"),
    *(f"{_API}/custom_component/x/client/component/index.js", f"{_API}/dev/reload"),
    *(f"{_API}/deep_link", f"{_API}/process_recording", f"{_API}/stream/x/y/z/playlist.m3u8"),
    *(f"{_API}/stream/x", f"{_API}/proxy=http://127.0.0.1:9/", f"{_API}/file=http://127.0.0.1:9/"),
    *(f"{_API}/file=", f"{_API}/file/etc/passwd", f"{_API}/component_server", f"{_API}/vibe-edit/"),
    *("/static/../../app.py", "/assets/../../app.py", "/static/%2e%2e/%2e%2e/app.py"),
    *("/..%2f..%2fetc/passwd", "/svelte/../x", "/gradio_api/mcp/sse", "/docs", "/redoc"),
    *("/openapi.json", "/%ff", "/" + "a" * 8000, f"{_API}/custom_component/%0aINFO/x/y/z"),
)


async def _other_routes(page: Page) -> str:
    """Ask for all that Gradio serves and this page does not need, by every method."""
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        for route, method in itertools.product(
            _ROUTES, ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
        ):
            try:
                answer = await asyncio.wait_for(visit.client.request(method, route), 20)
            except TimeoutError:
                raise Broken(f"{method} {route} holds a connection") from None
            except httpx.HTTPError:
                continue
            answers.append(answer)
            _expect(answer.status_code < 500, f"{method} {route} gives {answer.status_code}")
            _expect("import " not in answer.text[:200], f"{method} {route} shows code")
    return _statuses(answers)


async def _unknown_functions(page: Page) -> str:
    """Call functions and components that are not there."""
    answers = []
    async with page.visit(next(_ADDRESSES)) as visit:
        numbers: tuple[Any, ...] = (-1, 10**6, 2**70, 1.5, True, None, "0", [], {})
        for number in numbers:
            body = json.dumps({"data": [], "fn_index": number, "session_hash": "abc"}).encode()
            answers.append(await visit.post(f"{_API}/queue/join", body))
            answers.append(await visit.post(f"{_API}/run/predict", body))
            call = {"data": None, "component_id": number, "fn_name": "x", "session_hash": "abc"}
            answers.append(await visit.post(f"{_API}/component_server", json.dumps(call).encode()))
        for name in ("none", "__init__", "live_frame/../x", "analyse", "0"):
            answers.append(await visit.post(f"{_API}/call/{name}", b'{"data":[]}'))
    return _check_refused(answers, "an unknown function")


async def _odd_uploads(page: Page) -> str:
    """Upload under names and in forms that no browser makes."""
    statuses = []
    names = ("../../up.jpg", "/etc/cron.d/x", "a\x00b.jpg", "a" * 5000, "<script>.jpg", ".", "CON")
    async with page.visit(next(_ADDRESSES)) as visit:
        for name in names:
            if (path := await visit.upload(name, face_jpeg())) is not None:
                inside = Path(path).resolve().is_relative_to(page.temporary.resolve())
                _expect(inside, f"an upload went to {path}")
        many = [("files", (f"{i}.jpg", b"x", "image/jpeg")) for i in range(2000)]
        statuses.append((await visit.send_files(many)).status_code)
        for kind in ("multipart/form-data", "multipart/form-data; boundary=" + "b" * 500, "text/x"):
            headers = {"content-type": kind}
            answer = await visit.send_files(content=b"--b\r\n\r\n" * 1000, headers=headers)
            statuses.append(answer.status_code)
    _expect(all(status < 500 for status in statuses), f"uploads give {set(statuses)}")
    return " ".join(map(str, sorted(set(statuses))))


async def _marked_frame(page: Page) -> str:
    """Send a frame by API and look for it in the memory of the page a moment later."""
    # Long, because the page gives freed memory back by whole pages of 4 kB: the ends of a block
    # stay until they are used again. A comment of a JPEG has at most 65,533 bytes.
    mark = secrets.token_bytes(60_000)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(face_jpeg())).resize((320, 320)).save(buffer, "JPEG", comment=mark)
    text = base64.b64encode(buffer.getvalue()).decode()
    seek = text[40_000:40_120]
    _expect(base64.b64decode(seek) in mark, "the attack is broken: the mark is elsewhere")
    async with page.visit(next(_ADDRESSES)) as visit:
        _, answer = await visit.call("live_frame", ["data:image/jpeg;base64," + text, None, 0])
        _expect('"faces"' in answer, f"a frame is not answered: {answer[:80]}")
    end = time.monotonic() + _MEMORY_S
    while found := await asyncio.to_thread(_in_memory, page.server.process.pid, seek.encode()):
        _expect(time.monotonic() < end, f"a frame stays in memory, {found} times")
        await asyncio.sleep(1)
    return "gone"


def _in_memory(pid: int, mark: bytes) -> int:
    """Count a mark in what a process has of its own; freed memory counts, too."""
    n_found = 0
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            span, access, *_ = line.split()
            if not access.startswith("rw") or "/dev/" in line:
                continue
            low, high = (int(end, 16) for end in span.split("-"))
            try:
                memory.seek(low)
                n_found += memory.read(high - low).count(mark)
            except (OSError, ValueError, OverflowError):
                continue
    return n_found


async def _many_sessions(page: Page) -> str:
    """Call under many names of sessions, as a program does that never comes back."""
    image = "data:image/jpeg;base64," + base64.b64encode(face_jpeg()).decode()[:400_000]
    async with page.visit(next(_ADDRESSES)) as visit:
        for _ in range(60):
            body = json.dumps({"data": [image, None, 0], "session_hash": secrets.token_hex(8)})
            await visit.post(f"{_API}/call/live_frame", body.encode())
    return "60 names"


ATTACKS: tuple[Attack, ...] = (
    Attack("files of the machine, in calls", _own_files),
    Attack("files of the machine, by address", _own_files_served),
    Attack("files of other visitors", _other_visitors_file),
    Attack("names of sessions and events", _bad_names),
    Attack("odd JSON", _odd_json),
    Attack("odd frames and states", _bad_frames),
    *(_file_attack("predict_image", name, make) for name, make in PICTURES.items()),
    *(_file_attack("predict_video", name, make, 5) for name, make in VIDEOS.items()),
    Attack("two enormous pictures at once", _two_bombs, heavy=True),
    Attack("a crowd of slow pictures", _waiting_crowd, heavy=True),
    Attack("slow uploads", _slow_uploads, heavy=True),
    Attack("steady uploads of much", _steady_uploads, heavy=True),
    Attack("uploads that hang up", _hung_up_uploads),
    Attack("many small files", _many_small_files, heavy=True),
    Attack("a full queue", _full_queue, heavy=True),
    Attack("the page again and again", _page_again, heavy=True),
    Attack("odd data of events", _odd_events),
    Attack("odd numbers", _odd_numbers),
    Attack("an assistant's picture", _assistant, heavy=True),
    Attack("slow headers", _slow_heads),
    Attack("chunks of a byte", _tiny_chunks),
    Attack("many streams", _many_streams),
    Attack("a frame that stays", _marked_frame, heavy=True),
    Attack("many sessions", _many_sessions),
    Attack("other hosts", _other_hosts),
    Attack("other origins", _other_origins),
    Attack("other routes", _other_routes),
    Attack("functions that are not there", _unknown_functions),
    Attack("odd uploads", _odd_uploads),
)
