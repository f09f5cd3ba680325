"""A small Hub: serves and takes files of repositories, for the real client; faults on demand."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """`files` maps (repo_id, file name) to bytes; `fault` is the status of every answer.

    The `repo_id` of a data set begins with "datasets/". `tokens` are those that came with
    commits, `uploads` the large files by their sha256.
    """

    def __init__(self):
        self.files = {}
        self.fault = None
        self.tokens = []
        self.uploads = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def do_PUT(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                hub.uploads[self.path.rpartition("/")[2]] = content
                self.reply(200, b"", {}, True)

            def do_POST(self):
                sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = unquote(urlsplit(self.path).path)
                if hub.fault is not None:
                    self.reply(hub.fault, b"", {}, True)
                elif path == "/api/repos/create":
                    name = json.loads(sent)
                    repo = f"{name['organization']}/{name['name']}"
                    hub.files["datasets/" + repo, ".gitattributes"] = b""
                    self.reply_json({"url": f"{hub.url}/datasets/{repo}"})
                elif path == "/api/validate-yaml":
                    self.reply_json({"errors": [], "warnings": []})
                elif found := re.fullmatch(r"/api/(datasets/.+)/paths-info/[^/]+", path):
                    wanted = json.loads(sent)["paths"]
                    self.reply_json(
                        [e for e in hub.tree(found[1], "", True) if e["path"] in wanted]
                    )
                elif found := re.fullmatch(r"/api/(datasets/.+)/preupload/[^/]+", path):
                    modes = [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular",
                            "shouldIgnore": False,
                        }
                        for file in json.loads(sent)["files"]
                    ]
                    self.reply_json({"files": modes})
                elif path.endswith(".git/info/lfs/objects/batch"):
                    objects = [
                        {**known, "actions": {"upload": {"href": f"{hub.url}/lfs/{known['oid']}"}}}
                        for known in json.loads(sent)["objects"]
                    ]
                    self.reply_json({"transfer": "basic", "objects": objects})
                elif found := re.fullmatch(r"/api/(datasets/.+)/commit/[^/]+", path):
                    hub.tokens.append(self.headers.get("Authorization"))
                    for line in sent.splitlines():
                        step = json.loads(line)
                        key = found[1], step["value"].get("path")
                        if step["key"] == "file":
                            hub.files[key] = base64.b64decode(step["value"]["content"])
                        elif step["key"] == "lfsFile":
                            hub.files[key] = hub.uploads[step["value"]["oid"]]
                        elif step["key"] == "deletedFile":
                            hub.files.pop(key, None)
                    commit = hub.commit(found[1])
                    self.reply_json(
                        {"commitUrl": f"{hub.url}/{found[1]}/commit/{commit}", "commitOid": commit}
                    )
                else:
                    self.reply(404, b"", {"X-Error-Code": "RepoNotFound"}, True)

            def answer(self, body):
                path = unquote(urlsplit(self.path).path).lstrip("/")
                if path.startswith("api/datasets/") and hub.fault is None:
                    self.answer_about(path.removeprefix("api/"))
                    return
                repo, _, rest = path.partition("/resolve/")
                _, _, name = rest.partition("/")
                content = hub.files.get((repo, name))
                if hub.fault is not None:
                    self.reply(hub.fault, b"", {}, body)
                elif not any(known == repo for known, _ in hub.files):
                    self.reply(404, b"", {"X-Error-Code": "RepoNotFound"}, body)
                elif content is None:
                    self.reply(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
                else:
                    commit = hashlib.sha1(content).hexdigest()
                    headers = {"ETag": f'"{commit}"', "X-Repo-Commit": hub.commit(repo)}
                    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                    if asked and body:
                        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
                        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                        self.reply(206, content[first : last + 1], headers, body)
                    else:
                        self.reply(200, content, headers, body)

            def answer_about(self, path):
                repo, tree, rest = path.partition("/tree/")
                repo, *_ = repo.partition("/revision/")
                if not any(known == repo for known, _ in hub.files):
                    self.reply(404, b"", {"X-Error-Code": "RepoNotFound"}, True)
                elif tree:
                    folder = rest.partition("/")[2]
                    found = hub.tree(repo, folder, "recursive=true" in self.path.lower())
                    if found or not folder:
                        self.reply_json(found)
                    else:
                        self.reply(404, b"", {"X-Error-Code": "EntryNotFound"}, True)
                else:
                    siblings = [{"rfilename": name} for known, name in hub.files if known == repo]
                    about = {"id": repo.removeprefix("datasets/"), "sha": hub.commit(repo)}
                    self.reply_json(about | {"siblings": siblings, "private": False, "tags": []})

            def reply_json(self, content):
                headers = {"Content-Type": "application/json"}
                self.reply(200, json.dumps(content).encode(), headers, True)

            def reply(self, status, content, headers, body):
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def commit(self, repo):
        """The commit of a repository; that of a data set changes with its files."""
        if not repo.startswith("datasets/"):
            return COMMIT
        mine = sorted((name, data) for (known, name), data in self.files.items() if known == repo)
        return hashlib.sha1(repr(mine).encode()).hexdigest()

    def tree(self, repo, folder, recursive):
        """What lies in a folder of a repository, as the client wants it told."""
        inside = folder.rstrip("/") + "/" if folder else ""
        entries = {}
        for known, name in list(self.files):
            if known != repo or not name.startswith(inside):
                continue
            parts = name.removeprefix(inside).split("/")
            for depth in range(1, len(parts)):
                path = inside + "/".join(parts[:depth])
                entries[path] = {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
            content = self.files[known, name]
            oid = hashlib.sha1(content).hexdigest()
            entries[name] = {"type": "file", "path": name, "oid": oid, "size": len(content)}
        return [
            entry
            for path, entry in entries.items()
            if recursive or "/" not in path.removeprefix(inside)
        ]
