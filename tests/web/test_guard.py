"""The guard: which routes there are, what is read of a body, and how long that may take."""

import asyncio
import json
import time
from types import SimpleNamespace

import httpx
import pytest
from starlette.exceptions import HTTPException

from fer.web.server import guard as module
from fer.web.server.guard import Guard
from fer.web.server.origins import Hosts
from fer.web.server.queue import RateLimit
from fer.web.server.traffic import traffic
from fer.web.server.uploads import uploads

API = "/gradio_api"
HOME = "http://localhost:7860"
LIMIT, UPLOAD_LIMIT = 100_000, 200_000
FAR = ("203.0.113.7", 123)
RESET = {"event_id": "abc"}


@pytest.fixture(scope="module")
def page(unserved_page):
    return unserved_page


class Behind:
    """What the guard lets in; gives back what it was sent."""

    def __init__(self):
        self.scopes = []
        self.bodies = []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        headers = [
            (b"access-control-allow-origin", b"https://evil.example"),
            (b"access-control-allow-credentials", b"true"),
            (b"x-other", b"kept"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def knock(page, behind):
    """Sends one request to the guard."""

    def ask(method, path, *, client=("127.0.0.1", 1), per_minute=None, times=1, guard=None, **more):
        guarded = guard or make_guard(page, behind, per_minute)

        async def story():
            transport = httpx.ASGITransport(guarded, client=client)
            async with httpx.AsyncClient(transport=transport, base_url=HOME) as browser:
                return [await browser.request(method, path, **more) for _ in range(times)]

        replies = asyncio.run(story())
        return replies[0] if times == 1 else replies

    return ask


def make_guard(page, behind, per_minute=None, **more):
    options = {
        "max_bytes": LIMIT,
        "max_upload_bytes": UPLOAD_LIMIT,
        "uploading": RateLimit(per_minute),
        "refusing": RateLimit(per_minute),
        "hosts": Hosts((), lambda: None),
    }
    return Guard(behind, page, **options | more)


def refused(code):
    """How many requests were refused with a code since the start."""
    return traffic.counts()["request"]["refused"].get(code, 0)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/?__theme=dark", "/?view=api", "/config", "/config/", "/health", "/theme.css?v=1"),
        *("/assets/index-D_1.js", "/assets/svelte/a.b~c@1.js", "/static/fonts/a/b.woff2"),
        *("/manifest.json", "/favicon.ico", "/robots.txt"),
        *(f"{API}/info", f"{API}/info?all_endpoints=True", f"{API}/info/?all_endpoints=true"),
        *(f"{API}/openapi.json", f"{API}/startup-events", f"{API}/heartbeat/oa5i0bcd7hc"),
        *(f"{API}/queue/data?session_hash=oa5i0bcd7hc", f"{API}/upload_progress?upload_id=abc"),
        *(f"{API}/call/live_frame/0b0e4f", f"{API}/call/v2/live_frame/0b0e4f"),
    ],
)
def test_what_is_offered(path, knock, behind):
    for method in ("GET", "HEAD"):
        reply = knock(method, path)
        assert reply.status_code == 200
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-other"] == "kept"
    assert len(behind.scopes) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"{API}/{name}") for name in ("dev/reload", "user", "token", "login_check")),
        *(("GET", f"{API}/{name}") for name in ("deep_link?session_hash=a", "queue/status")),
        *(("GET", f"{API}/{name}") for name in ("proxy=https://a.hf.space/x", "runs", "nothing")),
        *(("GET", f"{API}/custom_component/a/client/component/{n}") for n in ("x", "index.js")),
        *(("GET", f"{API}/stream/a/b/1/{n}") for n in ("playlist.m3u8", "x.ts", "playlist-file")),
        *(("POST", f"{API}/{name}") for name in ("stream/abc", "stream/abc/close", "vibe-edit")),
        *(("POST", f"{API}/{name}") for name in ("process_recording", "run-history/connect")),
        *(("POST", f"{API}/{name}") for name in ("api/predict", "api/predict/", "mcp", "mcp/")),
        *(("GET", f"{API}/{name}") for name in ("mcp", "mcp/sse", "mcp/schema", "file/etc/passwd")),
        *(("GET", path) for path in ("/monitoring", "/monitoring/summary", "/monitoring/x")),
        *(("GET", path) for path in ("/logout", "/docs", "/openapi.json", "/pwa_icon/9999999")),
        *(("GET", path) for path in ("/svelte/x", "/assets/../x", "/static/%2e%2e/x")),
        *(("GET", path) for path in ("/assets/..%2f..%2fx", "/static//x/%00", "/nothing")),
        *(("POST", path) for path in ("/login", "/", "/config", f"{API}/info", "/health")),
        *((method, "/config") for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X")),
        *(("OPTIONS", f"{API}/{name}") for name in ("component_server", "upload", "queue/join")),
        ("GET", f"{API}/component_server"),
        ("GET", f"{API}/upload"),
        *(("GET", f"{API}/heartbeat/{name}") for name in ("", "%ED%A0%80", "a%0Ab", "x" * 65)),
        *(("GET", f"{API}/call/live_frame/{name}") for name in ("%ED%A0%80", "a/b", "x" * 65)),
        ("POST", f"{API}/call/%ED%A0%80"),
        ("GET", "/" + "x" * 5000),
    ],
)
def test_what_is_not_offered(method, path, knock, behind):
    reply = knock(method, path, **({"json": RESET} if method == "POST" else {}))
    assert reply.status_code == 404
    assert behind.scopes == []
    assert method == "HEAD" or reply.json()["error"]["code"] == "not_offered"


@pytest.mark.parametrize(
    "path",
    [
        *(f"{API}/queue/data{query}" for query in ("", "?session_hash=", "?session=a")),
        f"{API}/queue/data?session_hash=%ED%A0%80",
        f"{API}/queue/data?session_hash={'x' * 65}",
        f"{API}/queue/data?session_hash=a&session_hash=a%20b",
        f"{API}/upload_progress",
        f"{API}/upload_progress?upload_id=a/b",
        "/?a=%00",
        "/?%0A=1",
        f"/?a={'x' * 3000}",
    ],
)
def test_a_query_has_names_and_plain_texts(path, knock, behind):
    reply = knock("GET", path)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "malformed"
    assert behind.scopes == []


@pytest.fixture
def sent():
    """An upload, and something made of one."""
    with uploads.room("here", 10) as room:
        (room.path / "hash").mkdir()
        file = room.path / "hash" / "cat 1.jpg"
        file.write_bytes(b"x")
    made = uploads.folder / "digest" / "cat_expressions.jpg"
    made.parent.mkdir(exist_ok=True)
    made.write_bytes(b"x")
    yield file, made
    uploads.drop(file)
    made.unlink()


def test_files_of_the_page_are_shown_and_no_others(knock, behind, sent, tmp_path):
    for file in sent:
        assert knock("GET", f"{API}/file={file}").status_code == 200
    (tmp_path / "there.jpg").write_bytes(b"x")
    (sent[0].parent / "link.jpg").symlink_to(tmp_path / "there.jpg")
    others = [
        *(
            tmp_path / "there.jpg",
            tmp_path / "none.jpg",
            tmp_path,
            "/etc/passwd",
            "/proc/self/fd/1",
        ),
        *("https://example.org/x.bin", "README.md", sent[0].parent / "link.jpg", sent[0].parent),
        *(f"{sent[0].parent}/x/%2e%2e/{sent[0].name}", f"/proc/self/root{sent[0]}", f"{sent[0]}/"),
        uploads.folder / "uploads" / ("0" * 32) / "hash" / "cat.jpg",
    ]
    replies = [knock("GET", f"{API}/file={other}") for other in others]
    assert {(reply.status_code, reply.text) for reply in replies} == {(404, replies[0].text)}
    assert len(behind.scopes) == 2


def test_a_file_in_a_call_is_one_that_was_sent(knock, behind, sent, tmp_path):
    (tmp_path / "there.jpg").write_bytes(b"x")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    others = [
        *(str(path) for path in (tmp_path / "there.jpg", tmp_path / "none.jpg", tmp_path)),
        *(str(tmp_path / "letter.jpg"), "examples/group.jpg", "../x", "/proc/self/fd/1", ""),
        *("https://example.org/x.jpg", str(sent[1]), f"{sent[0]}x", f"{sent[0].parent}/./x"),
    ]
    meta = {"_type": "gradio.FileData"}
    forms = [
        lambda path: {"path": path},
        lambda path: {"path": path, "meta": meta},
        lambda path: path,
        lambda path: {"path": path, "meta": meta, "is_stream": True},
        lambda path: {"image": {"path": path, "meta": meta}},
        lambda path: [{"path": path}],
        lambda path: {"url": path, "meta": meta},
    ]
    paths = (f"{API}/call/predict_image", f"{API}/call/v2/predict_image")
    told = set()
    for path in others:
        for form in forms:
            for route, body in zip(
                paths, ({"data": [form(path)]}, {"image": form(path)}), strict=True
            ):
                reply = knock("POST", route, json=body)
                told.add((reply.status_code, reply.text))
    assert len(told) == 1
    assert behind.scopes == []
    good = {"path": str(sent[0]), "meta": meta, "orig_name": "cat 1.jpg", "size": 1}
    assert knock("POST", paths[0], json={"data": [good]}).status_code == 200
    assert knock("POST", paths[1], json={"image": good}).status_code == 200


def test_a_body_comes_through_as_it_was_sent(knock, behind):
    async def parts():
        for part in (b'{"event', b'_id": ', b'"abc"}'):
            yield part

    json_type = {"content-type": "application/json; charset=utf-8"}
    assert knock("POST", f"{API}/reset", content=parts(), headers=json_type).status_code == 200
    assert behind.bodies == [b'{"event_id": "abc"}']


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
)
def test_a_call_is_json_by_its_name_too(content_type, knock, behind):
    content = json.dumps(RESET).encode()
    reply = knock("POST", f"{API}/reset", content=content, headers={"content-type": content_type})
    assert reply.status_code == 400
    assert behind.scopes == []


def in_parts(n_bytes):
    async def parts():
        for at in range(0, n_bytes, 10_000):
            yield b" " * min(10_000, n_bytes - at)

    return parts()


@pytest.mark.parametrize("make", [lambda n: b" " * n, in_parts])
@pytest.mark.parametrize(
    ("path", "limit", "at_limit"), [("reset", LIMIT, 400), ("upload", UPLOAD_LIMIT, 200)]
)
def test_bodies_are_bounded_with_and_without_a_declared_length(
    make, path, limit, at_limit, knock, behind
):
    headers = {"content-type": "application/json"}
    before = refused("too_large")
    reply = knock("POST", f"{API}/{path}", content=make(limit), headers=headers)
    assert reply.status_code == at_limit
    assert refused("too_large") == before
    reply = knock("POST", f"{API}/{path}", content=make(limit + 1), headers=headers)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "too_large"
    assert refused("too_large") == before + 1


def drip(n_parts, part, pause_s):
    async def parts():
        for _ in range(n_parts):
            yield part
            await asyncio.sleep(pause_s)

    return parts()


class Dripping:
    """An ASGI client whose body comes a byte at a time, without end."""

    def __init__(self, pause_s):
        self.pause_s = pause_s
        self.sent = []

    async def receive(self):
        await asyncio.sleep(self.pause_s)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(self, message):
        self.sent.append(message)

    def visit(self, guard, path):
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"{API}/{path}",
            "query_string": b"",
            "headers": [
                (b"host", b"localhost:7860"),
                (b"content-type", b"application/json"),
                (b"content-length", b"90000"),
            ],
            "client": FAR,
            "server": ("127.0.0.1", 7860),
        }
        asyncio.run(guard(scope, self.receive, self.send))
        return self.sent[0]["status"], json.loads(self.sent[1]["body"])["error"]["code"]


@pytest.mark.parametrize("path", ["reset", "upload"])
def test_a_body_that_does_not_come_is_not_waited_for(path, page, behind, knock, monkeypatch):
    monkeypatch.setattr(module.Pace.__init__, "__defaults__", (0.2, 1000.0))
    guard = make_guard(page, behind, per_minute=60)
    start = time.monotonic()
    assert Dripping(0.02).visit(guard, path) == (408, "too_slow")
    assert time.monotonic() - start < 5
    # Who holds the room of uploads in that way waits for a minute.
    assert (guard._uploading.wait_s(FAR[0]) > 59) == (path == "upload")


def test_a_body_that_comes_steadily_may_take_long(page, behind, knock, monkeypatch):
    monkeypatch.setattr(module.Pace.__init__, "__defaults__", (0.3, 1000.0))
    reply = knock("POST", f"{API}/upload", content=drip(8, b"x" * 500, 0.1))
    assert reply.status_code == 200
    assert behind.bodies == [b"x" * 4000]


def test_who_hangs_up_gets_no_answer(page, behind):
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": f"{API}/reset", "query_string": b""}
    scope |= {"headers": headers, "client": FAR, "server": None}
    asyncio.run(make_guard(page, behind)(scope, receive, send))
    assert sent == []
    assert behind.scopes == []


def test_a_host_of_another_name_is_refused(knock, behind):
    before = refused("other_host")
    for headers in ({"host": "evil.example"}, {"host": ""}, {"host": "evil.example:7860"}):
        reply = knock("GET", "/config", headers=headers)
        assert reply.status_code == 421
        assert "FER_ALLOWED_HOSTS" in reply.json()["detail"]
    assert refused("other_host") == before + 3
    assert behind.scopes == []


def test_a_page_of_another_origin_changes_nothing_and_reads_nothing(knock, behind):
    foreign = {"origin": "https://evil.example", "content-type": "application/json"}
    for path in ("reset", "upload", "component_server"):
        reply = knock("POST", f"{API}/{path}", content=b"{}", headers=foreign)
        assert reply.status_code == 403
        assert reply.json()["error"]["code"] == "other_origin"
    assert behind.scopes == []
    reply = knock("GET", "/config", headers=foreign)
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    preflight = foreign | {"access-control-request-method": "POST"}
    replies = [reply, knock("OPTIONS", f"{API}/reset", headers=preflight)]
    replies.append(knock("POST", f"{API}/reset", json=RESET, headers={"origin": HOME}))
    replies.append(knock("POST", f"{API}/reset", json=RESET))
    assert [reply.status_code for reply in replies] == [200, 403, 200, 200]
    for reply in replies:
        assert not [name for name in reply.headers if name.startswith("access-control-")]


def test_what_a_proxy_says_is_believed_for_hosts_of_the_page(page, behind, knock):
    guard = make_guard(page, behind, hosts=Hosts(["fer.example.org"], lambda: None))
    for value, kept in (
        ("fer.example.org", True),
        ("https://fer.example.org/", True),
        ("evil.example", False),
        ("evil.example, fer.example.org", False),
    ):
        headers = {"x-forwarded-host": value, "x-gradio-server": value, "origin": HOME}
        assert knock("GET", "/config", headers=headers, guard=guard).status_code == 200
        names = {name for name, _ in behind.scopes[-1]["headers"]}
        assert (b"x-forwarded-host" in names) == kept
        assert (b"x-gradio-server" in names) == kept
        assert b"origin" not in names


def test_below_a_path_of_its_own(page, behind):
    guard = make_guard(page, behind)
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    for path in ("/faces/config", "/faces/", "/config"):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": "/faces"}
        scope |= {"query_string": b"", "headers": [(b"host", b"localhost")], "client": FAR}
        asyncio.run(guard(scope, receive, send))
    assert [one["status"] for one in sent if "status" in one] == [200] * 3


def test_refused_requests_count(knock):
    replies = knock("GET", "/nothing", client=FAR, per_minute=5, times=7)
    assert [reply.status_code for reply in replies] == [404] * 5 + [429] * 2
    assert 0 < int(replies[-1].headers["retry-after"]) <= 12
    assert replies[-1].json()["error"]["retry_after_ms"] <= 12_000


def test_a_host_holds_so_many_answers_open_and_no_more(page, monkeypatch):
    monkeypatch.setattr(module, "_MAX_STREAMS_A_HOST", 3)
    opened, go = [], asyncio.Event()

    async def stream(scope, receive, send):
        opened.append(scope["client"])
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = make_guard(page, stream)

    async def visit(host):
        transport = httpx.ASGITransport(guard, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url=HOME) as browser:
            return (await browser.get(f"{API}/heartbeat/abc")).status_code

    async def story():
        hosts = [FAR[0]] * 5 + ["203.0.113.8"] + ["127.0.0.1"] * 5
        tasks = [asyncio.create_task(visit(host)) for host in hosts]
        await asyncio.sleep(0.2)
        go.set()
        return [await task for task in tasks]

    assert asyncio.run(story()) == [200] * 3 + [429] * 2 + [200] * 6
    assert len(opened) == 9
    assert asyncio.run(visit(FAR[0])) == 200


def test_there_are_no_websockets(page, behind):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(make_guard(page, behind)({"type": "websocket"}, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert behind.scopes == []


@pytest.mark.parametrize("cause", [HTTPException(404), ValueError("ours")])
def test_a_stream_that_ends_in_the_middle_ends_whole(page, knock, cause):
    """Gradio raises inside a stream whose session is gone; another error is one of ours."""

    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("response already started") from cause

    path = f"{API}/queue/data?session_hash=abc"
    if isinstance(cause, HTTPException):
        answer = knock("GET", path, guard=make_guard(page, broken))
        assert answer.text == "half"
    else:
        with pytest.raises(RuntimeError):
            knock("GET", path, guard=make_guard(page, broken))


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("bytes=0-1", True),
        ("bytes=5-", True),
        ("bytes=0-0,1-1", False),
        ("bytes=1-2-3", False),
        ("bytes=--5", False),
        ("bytes=\u0661-2", False),
    ],
)
def test_a_range_is_of_one_piece(asked, passed, page, behind, knock, sent):
    header = {"range": asked.encode("utf-8")}
    knock("GET", f"{API}/file={sent[0]}", headers=header)
    assert (b"range" in dict(behind.scopes[-1]["headers"])) is passed


def test_a_file_comes_with_headers_of_its_own_alone(page, knock, sent):
    async def echoing(scope, receive, send):
        headers = [*scope["headers"], (b"content-type", b"image/jpeg")]
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    guard = make_guard(page, echoing)
    answer = knock("GET", f"{API}/file={sent[0]}", guard=guard, headers={"x-of-a-proxy": "secret"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert not {"x-of-a-proxy", "host", "user-agent"} & set(answer.headers)


def test_an_origin_that_is_no_address_is_another_one(knock, behind):
    assert (
        knock("POST", f"{API}/reset", json=RESET, headers={"origin": "http://["}).status_code == 403
    )


JOB = {"data": [None]}


def event_of(host):
    """An event as Gradio's queue keeps it."""
    return SimpleNamespace(request=SimpleNamespace(client=SimpleNamespace(host=host)))


@pytest.fixture
def queued(page, monkeypatch):
    """Puts calls into Gradio's queue."""

    def put(host, n):
        for i in range(n):
            monkeypatch.setitem(page._queue.event_ids_to_events, f"{host} {i}", event_of(host))

    return put


@pytest.mark.parametrize("path", ["call/predict_image", "call/v2/predict_image"])
def test_a_household_has_so_many_calls_in_the_queue(path, page, behind, knock, queued):
    body = JOB if "v2" not in path else {"image": None}
    queued(FAR[0], module._MAX_JOBS_A_HOST - 1)
    queued("127.0.0.1", 50)
    guard = make_guard(page, behind)
    assert knock("POST", f"{API}/{path}", json=body, client=FAR, guard=guard).status_code == 200
    queued(FAR[0], module._MAX_JOBS_A_HOST)
    reply = knock("POST", f"{API}/{path}", json=body, client=FAR, guard=guard)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "busy")
    for other in (("203.0.113.8", 1), ("127.0.0.1", 1)):
        assert (
            knock("POST", f"{API}/{path}", json=body, client=other, guard=guard).status_code == 200
        )
    # What Gradio's queue does not do is none of it.
    assert knock("POST", f"{API}/reset", json=RESET, client=FAR, guard=guard).status_code == 200


def test_a_call_whose_event_is_over_is_none(page, behind, knock, monkeypatch):
    for i in range(50):
        over = SimpleNamespace(request=None)
        monkeypatch.setitem(page._queue.event_ids_to_events, f"over {i}", over)
    reply = knock("POST", f"{API}/call/predict_image", json=JOB, client=FAR)
    assert reply.status_code == 200


class Held:
    """What the guard lets in; answers when told, or when there is nothing more to read."""

    def __init__(self):
        self.hosts = []
        self.go = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.hosts.append(scope["client"][0])
        await self.go.wait()
        while (message := await receive())["type"] == "http.request" and message.get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def together(page, hosts, method, path, go_after_s=0.2, **more):
    """Ask from several hosts at once; the statuses, and who was let in before any was answered."""
    held = Held()
    guard = make_guard(page, held)

    async def visit(host):
        transport = httpx.ASGITransport(guard, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url=HOME, timeout=30) as browser:
            return (await browser.request(method, path, **more)).status_code

    async def story():
        tasks = [asyncio.create_task(visit(host)) for host in hosts]
        await asyncio.sleep(go_after_s)
        let_in = list(held.hosts)
        held.go.set()
        return [await task for task in tasks], let_in

    return asyncio.run(story())


def test_calls_that_come_at_once_are_counted_before_they_are_in_the_queue(page):
    n = module._MAX_JOBS_A_HOST
    hosts = [FAR[0]] * (n + 5) + ["203.0.113.8"] + ["127.0.0.1"] * 20
    statuses, _ = together(page, hosts, "POST", f"{API}/call/predict_image", json=JOB)
    assert statuses == [200] * n + [429] * 5 + [200] * 21


def test_so_many_files_of_a_household_come_in_and_more_wait(page, monkeypatch):
    hosts = [FAR[0]] * 6 + ["203.0.113.8"]
    statuses, let_in = together(page, hosts, "POST", f"{API}/upload", content=b"x")
    assert let_in == [FAR[0]] * module._MAX_COMING_A_HOST + ["203.0.113.8"]
    assert statuses == [200] * 7
    monkeypatch.setattr(module, "_COMING_PATIENCE_S", 0.05)
    statuses, _ = together(page, hosts, "POST", f"{API}/upload", content=b"x")
    assert statuses == [200] * 3 + [429] * 3 + [200]


def test_so_many_pages_of_a_household_are_made_at_a_time(page):
    hosts = [FAR[0]] * 6 + ["203.0.113.8"]
    statuses, let_in = together(page, hosts, "GET", "/")
    assert let_in == [FAR[0]] * module._MAX_PAGES_A_HOST + ["203.0.113.8"]
    assert statuses == [200] * 7


@pytest.mark.parametrize(
    ("limit", "paths", "others"),
    [
        ("_PAGES_PER_MINUTE", ["/", "/config", f"{API}/info", f"{API}/openapi.json"], ["/health"]),
        ("_FILES_PER_MINUTE", ["/assets/a.js", "/health", "/theme.css", "/favicon.ico"], ["/"]),
    ],
)
def test_a_household_gets_so_many_pages_and_files_a_minute(
    limit, paths, others, page, behind, knock, monkeypatch
):
    monkeypatch.setattr(module, limit, 4)
    guard = make_guard(page, behind)
    for path in paths:
        assert knock("GET", path, client=FAR, guard=guard).status_code == 200
    for path in paths:
        reply = knock("GET", path, client=FAR, guard=guard)
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "busy")
        assert 0 < int(reply.headers["retry-after"]) <= 15
    for path in others:
        assert knock("GET", path, client=FAR, guard=guard).status_code == 200
    for client in (("203.0.113.8", 1), ("127.0.0.1", 1)):
        replies = knock("GET", paths[0], client=client, times=4, guard=guard)
        assert {reply.status_code for reply in replies} == {200}


def test_a_class_that_opens_the_page_at_once_is_let_in():
    n_visitors, n_files = 60, 70
    assert n_visitors <= module._PAGES_PER_MINUTE
    assert n_visitors * n_files <= module._FILES_PER_MINUTE


@pytest.mark.parametrize("whole", [True, False])
def test_who_hangs_up_in_the_middle_of_a_file_has_asked_often(whole, page):
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    guard = make_guard(page, app, per_minute=30)
    sent = [{"type": "http.request", "body": b"x", "more_body": not whole}]

    async def receive():
        return sent.pop() if sent else {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": f"{API}/upload", "query_string": b""}
    scope |= {"headers": [(b"host", b"localhost")], "client": FAR, "server": None}
    asyncio.run(guard(scope, receive, None))
    n_left = sum(not guard._uploading.wait_s(FAR[0]) for _ in range(40))
    assert n_left == (30 if whole else 30 - module._HANG_UP_COST)


def test_the_pages_own_files_are_let_in(knock, behind):
    version = "0123456789abcdef"
    ranges = {"range": "bytes=0-1,2-3"}
    assert knock("GET", f"/fer/{version}/local/ort/a.wasm.gz", headers=ranges).status_code == 200
    assert b"range" not in dict(behind.scopes[-1]["headers"])
    for path in (f"/fer/{version}", "/fer/x/a.js", f"/fer/{version}/.a"):
        assert knock("GET", path).status_code == 404
    assert knock("POST", f"/fer/{version}/a.js").status_code == 404
