"""A small Hub: serves files of repositories to the real client, with faults on demand."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """`files` maps (repo_id, file name) to bytes; `fault` is the status of every answer."""

    def __init__(self):
        self.files = {}
        self.fault = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                repo, _, rest = unquote(self.path).lstrip("/").partition("/resolve/")
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
                    headers = {"ETag": f'"{commit}"', "X-Repo-Commit": COMMIT}
                    self.reply(200, content, headers, body)

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
