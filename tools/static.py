"""Serve the page that needs no server of its own on localhost, to look at it.

Run `make static`. It is built anew at each start, and lies below a path, as on many hosts.
"""

import argparse
import functools
import http.server
import tempfile
from pathlib import Path

from fer.hub import WEIGHTS_FOLDER
from train.publish.files import write_folder
from train.publish.static import static_files

_PATH = "fer"


def main() -> None:
    """Build the page into a temporary folder, and serve it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=7861, help="0 for one that is free [7861]")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        write_folder(static_files(options.weights), Path(root) / _PATH)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root)
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler)
        except (OSError, OverflowError) as error:
            parser.error(f"--port must be a port that is free. Received: {options.port} ({error})")
        with server:
            print(f"http://127.0.0.1:{server.server_port}/{_PATH}/", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print()


if __name__ == "__main__":
    main()
