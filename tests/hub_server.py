"""A small Hub: repositories with a history, for the real client; faults on demand.

It speaks as much of the Hub's protocol as huggingface_hub's downloads, uploads and questions
need, with the Hub's own status codes and headers.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN = "hf_secret"
# What .gitattributes of a new repository sends to large file storage.
_LARGE = (".bin", ".h5", ".keras", ".onnx", ".parquet", ".tflite", ".zip")


@dataclass
class Fault:
    """What goes wrong with requests whose "METHOD path" the pattern finds.

    Attributes:
        pattern: regular expression.
        times: how often.
        status: of the answer, instead of what would come.
        headers: of that answer.
        cut_after: bytes of the body after which the connection breaks.
        chunk: bytes that are sent at once, with `pause_s` after each.
        pause_s: seconds.
        content: sent in the place of the file's, which keeps its headers.
    """

    pattern: str
    times: int = 1
    status: int | None = None
    headers: dict = field(default_factory=dict)
    cut_after: int | None = None
    chunk: int = 65536
    pause_s: float = 0.0
    content: bytes | None = None


class HubServer:
    """`files` maps (repo_id, path) to bytes: what each repository holds now.

    The `repo_id` of a data set begins with "datasets/", that of a Space with "spaces/". A commit
    is the hash of all that a repository holds, and is kept as soon as it was told to anyone.

    Attributes:
        fault: status of every answer; None for none.
        faults: what goes wrong once or a few times.
        private: repositories that only `TOKEN` may see; it is the only one that may write.
        refs: commits by (repo_id, branch or tag).
        commits: (repo_id, message) of each that the client made, in order.
        variables: of each Space.
        hardware: of each Space with a server.
        sdks: of each Space.
        requests: "METHOD path" of each request, in order.
        tokens: that came with commits.
    """

    def __init__(self):
        self.blobs = {}
        self.snapshots = {}
        self.reset()
        routes = [
            ("/api/whoami-v2", self.who, "GET"),
            ("/api/repos/create", self.create, "POST"),
            ("/api/validate-yaml", self.validate, "POST"),
            ("/api/spaces/{name:path}/runtime", self.tell_runtime, "GET"),
            ("/api/spaces/{name:path}/hardware", self.set_hardware, "POST"),
            ("/api/spaces/{name:path}/variables", self.set_variables, "GET POST DELETE"),
            ("/api/{repo:path}/tree/{rest:path}", self.list_tree, "GET"),
            ("/api/{repo:path}/paths-info/{revision}", self.list_paths, "POST"),
            ("/api/{repo:path}/preupload/{revision}", self.preupload, "POST"),
            ("/api/{repo:path}/commit/{revision}", self.take_commit, "POST"),
            ("/api/{repo:path}/tag/{revision}", self.tag, "POST"),
            ("/api/{repo:path}/revision/{revision}", self.about, "GET"),
            ("/api/{repo:path}", self.about, "GET"),
            ("/{repo:path}.git/info/lfs/objects/batch", self.batch, "POST"),
            ("/lfs/{oid}", self.take_blob, "PUT"),
            ("/cdn/{oid}", self.give_blob, "GET HEAD"),
            ("/{repo:path}/resolve/{revision}/{path:path}", self.resolve, "GET HEAD"),
        ]
        app = Starlette(
            routes=[
                Route(path, self.guarded(answer), methods=methods.split())
                for path, answer, methods in routes
            ]
        )
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
        self.server = uvicorn.Server(config)
        threading.Thread(target=self.server.run, daemon=True).start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Another host, as the Hub's is: the client follows a redirect to the same one by itself.
        self.cdn = f"http://localhost:{port}/cdn"

    def reset(self):
        """No files, no faults."""
        self.files = {}
        self.fault = None
        self.faults = []
        self.private = set()
        self.refs = {}
        self.commits = []
        self.variables = {}
        self.hardware = {}
        self.sdks = {}
        self.requests = []
        self.tokens = []

    def commit(self, repo):
        """The commit that a repository stands at."""
        mine = {name: data for (known, name), data in list(self.files.items()) if known == repo}
        digest = hashlib.sha1(repo.encode())
        for name, data in sorted(mine.items()):
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        commit = digest.hexdigest()
        self.snapshots[repo, commit] = mine
        return commit

    def knows(self, repo):
        return any(known == repo for known, _ in list(self.files))

    # Every answer

    def guarded(self, answer):
        async def guard(request):
            line = f"{request.method} {request.url.path}"
            self.requests.append(line)
            if self.fault is not None:
                return Response(status_code=self.fault)
            fault = next((f for f in self.faults if f.times and re.search(f.pattern, line)), None)
            if fault is not None:
                fault.times -= 1
                if fault.status is not None:
                    return Response(status_code=fault.status, headers=fault.headers)
            refused = self.refuse(request)
            response = refused or await answer(request)
            return response if fault is None else self.spoil(response, fault)

        return guard

    def refuse(self, request):
        """The answer to who may not do this; None to who may."""
        token = request.headers.get("Authorization")
        known = token == f"Bearer {TOKEN}"
        if token is not None and not known:
            message = "Invalid credentials in Authorization header"
            return Response(status_code=401, headers={"X-Error-Message": message})
        path = request.url.path
        if re.search(
            r"/api/(repos/create|whoami)|/(commit|preupload|variables|hardware|tag)\b|/lfs", path
        ):
            return None if known or path.startswith("/lfs/") else Response(status_code=401)
        repo = repo_of(request)
        if repo is None:
            return None
        if repo in self.private and not known:
            return Response(status_code=401)
        return None if self.knows(repo) else error(404, "RepoNotFound")

    @staticmethod
    def spoil(response, fault):
        body = fault.content if fault.content is not None else response.body
        headers = dict(response.headers)
        if fault.content is not None:
            headers["content-length"] = str(len(body))

        async def trickle():
            sent = 0
            while sent < len(body):
                if fault.cut_after is not None and sent >= fault.cut_after:
                    raise ConnectionAbortedError
                chunk = body[sent : min(sent + fault.chunk, fault.cut_after or len(body))]
                yield chunk
                sent += len(chunk)
                await asyncio.sleep(fault.pause_s)

        return StreamingResponse(trickle(), response.status_code, headers)

    # Reading

    def at(self, repo, revision):
        """What a repository held at a revision; None where there is no such."""
        now = self.commit(repo)
        commit = now if revision == "main" else self.refs.get((repo, revision), revision)
        return commit, self.snapshots.get((repo, commit))

    async def resolve(self, request):
        repo, path = repo_of(request), request.path_params["path"]
        commit, files = self.at(repo, request.path_params["revision"])
        if files is None:
            return error(404, "RevisionNotFound")
        if path not in files:
            return error(404, "EntryNotFound", {"X-Repo-Commit": commit})
        content = files[path]
        if not path.endswith(_LARGE):
            headers = {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": commit}
            return part(request, content, headers)
        oid = hashlib.sha256(content).hexdigest()
        self.blobs[oid] = content
        headers = {"X-Repo-Commit": commit, "X-Linked-ETag": f'"{oid}"'}
        headers |= {"X-Linked-Size": str(len(content))}
        return RedirectResponse(f"{self.cdn}/{oid}", 302, headers)

    async def give_blob(self, request):
        oid = request.path_params["oid"]
        return part(request, self.blobs[oid], {"ETag": f'"{oid}"'})

    async def about(self, request):
        repo = repo_of(request)
        commit, files = self.at(repo, request.path_params.get("revision", "main"))
        if files is None:
            return error(404, "RevisionNotFound")
        return JSONResponse(
            {
                "id": re.sub("^(datasets|spaces)/", "", repo),
                "sha": commit,
                "siblings": [{"rfilename": name} for name in files],
                "private": repo in self.private,
                "tags": [],
            }
        )

    def entries(self, files, folder="", recursive=True):
        """What lies in a folder, as the client wants it told."""
        inside = folder.rstrip("/") + "/" if folder else ""
        found = {}
        for name, content in files.items():
            if not name.startswith(inside):
                continue
            parts = name.removeprefix(inside).split("/")
            for depth in range(1, len(parts)):
                path = inside + "/".join(parts[:depth])
                found[path] = {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
            found[name] = {
                "type": "file",
                "path": name,
                "oid": blob_id(content),
                "size": len(content),
            }
            if name.endswith(_LARGE):
                oid = hashlib.sha256(content).hexdigest()
                found[name]["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
        return [
            entry
            for path, entry in found.items()
            if recursive or "/" not in path.removeprefix(inside)
        ]

    async def list_tree(self, request):
        revision, _, folder = request.path_params["rest"].partition("/")
        _, files = self.at(repo_of(request), revision)
        if files is None:
            return error(404, "RevisionNotFound")
        recursive = request.query_params.get("recursive", "").lower() == "true"
        found = self.entries(files, folder, recursive)
        return JSONResponse(found) if found or not folder else error(404, "EntryNotFound")

    async def list_paths(self, request):
        _, files = self.at(repo_of(request), request.path_params["revision"])
        wanted = await form_or_json(request)
        paths = wanted["paths"] if isinstance(wanted["paths"], list) else [wanted["paths"]]
        return JSONResponse([e for e in self.entries(files) if e["path"] in paths])

    async def who(self, request):
        return JSONResponse(
            {
                "type": "user",
                "name": "someone",
                "auth": {"accessToken": {"role": "write", "displayName": "tests"}},
                "orgs": [],
            }
        )

    # Writing

    async def create(self, request):
        asked = await request.json()
        kind = asked.get("type", "model")
        prefix = "" if kind == "model" else f"{kind}s/"
        repo = f"{prefix}{asked.get('organization') or 'someone'}/{asked['name']}"
        if self.knows(repo):
            return JSONResponse({"error": "exists", "url": f"{self.url}/{repo}"}, 409)
        if kind == "space":
            self.sdks[repo] = asked["sdk"]
            if asked["sdk"] != "static":
                self.hardware[repo] = asked.get("hardware") or "cpu-basic"
        if asked.get("private") or asked.get("visibility") == "private":
            self.private.add(repo)
        self.files[repo, ".gitattributes"] = b"*.tflite filter=lfs\n"
        return JSONResponse({"url": f"{self.url}/{repo}"})

    async def validate(self, request):
        return JSONResponse({"errors": [], "warnings": []})

    async def preupload(self, request):
        if not self.knows(repo_of(request)):
            return error(404, "RepoNotFound")
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in (await request.json())["files"]
        ]
        return JSONResponse({"files": files})

    async def batch(self, request):
        objects = (await request.json())["objects"]
        for known in objects:
            if known["oid"] not in self.blobs:
                known["actions"] = {"upload": {"href": f"{self.url}/lfs/{known['oid']}"}}
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def take_blob(self, request):
        content = await request.body()
        oid = request.path_params["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            return Response(status_code=400)
        self.blobs[oid] = content
        return Response()

    async def take_commit(self, request):
        repo = repo_of(request)
        if not self.knows(repo):
            return error(404, "RepoNotFound")
        self.tokens.append(request.headers.get("Authorization"))
        steps = [json.loads(line) for line in (await request.body()).splitlines()]
        header = next(step["value"] for step in steps if step["key"] == "header")
        if header.get("parentCommit") not in (None, self.commit(repo)):
            return JSONResponse({"error": "A commit has happened since."}, 412)
        for step in steps:
            key, value = (repo, step["value"].get("path")), step["value"]
            if step["key"] == "file":
                self.files[key] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                self.files[key] = self.blobs[value["oid"]]
            elif step["key"] == "deletedFile":
                self.files.pop(key, None)
        self.commits.append((repo, header["summary"]))
        commit = self.commit(repo)
        return JSONResponse(
            {"commitUrl": f"{self.url}/{repo}/commit/{commit}", "commitOid": commit}
        )

    async def tag(self, request):
        repo = repo_of(request)
        commit, files = self.at(repo, request.path_params["revision"])
        name = (await request.json())["tag"]
        if files is None or (repo, name) in self.refs:
            return error(404, "RevisionNotFound") if files is None else Response(status_code=409)
        self.refs[repo, name] = commit
        return Response()

    def runtime(self, repo):
        """What a Space runs on; it is asked for and not there yet."""
        default = None if self.sdks.get(repo) == "static" else "cpu-basic"
        hardware = {"current": None, "requested": self.hardware.get(repo, default)}
        return {"stage": "BUILDING", "hardware": hardware, "gcTimeout": None}

    async def tell_runtime(self, request):
        repo = repo_of(request)
        return JSONResponse(self.runtime(repo)) if self.knows(repo) else error(404, "RepoNotFound")

    async def set_hardware(self, request):
        repo = repo_of(request)
        self.hardware[repo] = (await request.json())["flavor"]
        return JSONResponse(self.runtime(repo))

    async def set_variables(self, request):
        repo = repo_of(request)
        if not self.knows(repo):
            return error(404, "RepoNotFound")
        known = self.variables.setdefault(repo, {})
        if request.method != "GET":
            sent = await request.json()
            if request.method == "DELETE":
                known.pop(sent["key"], None)
            else:
                known[sent["key"]] = sent["value"]
        return JSONResponse({key: {"value": value} for key, value in known.items()})


def repo_of(request):
    """The `repo_id` that a request is about, with its kind; None where it is about none."""
    if "name" in request.path_params:
        return "spaces/" + request.path_params["name"]
    return (request.path_params.get("repo") or "").removeprefix("models/") or None


def blob_id(content):
    """Git's name of a file's content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def error(status, code, headers=None):
    return Response(status_code=status, headers={"X-Error-Code": code, **(headers or {})})


def part(request, content, headers):
    """The content, or the range of it that was asked for."""
    headers = {"Accept-Ranges": "bytes", **headers}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
    if not asked:
        return Response(content, headers=headers, media_type="application/octet-stream")
    first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], 206, headers, "application/octet-stream")


async def form_or_json(request):
    with contextlib.suppress(ValueError):
        return await request.json()
    return dict((await request.form()).multi_items())
