"""python -m bench.photo: how long a picture takes over HTTP, with another checkout or alone."""

import contextlib
import io
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated

import httpx
import pandas as pd
import typer
from PIL import Image

from bench.apps import ROOT, Server, run_app

_WARM_UP = 3


def _pictures() -> dict[str, bytes]:
    """Return a small photograph, and the same at the size that phones make."""
    small = (ROOT / "examples" / "astronaut_happy.jpg").read_bytes()
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(small)) as image:
        image.resize((4000, 3000)).save(buffer, "JPEG", quality=92)
    return {"small": small, "12 megapixels": buffer.getvalue()}


def _predict_ms(client: httpx.Client, content: bytes) -> float:
    """Measure the milliseconds from the call to its answer, without the upload before it."""
    sent = client.post("/gradio_api/upload", files=[("files", ("photo.jpg", content))])
    (path,) = sent.raise_for_status().json()
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
    start = time.perf_counter()
    url = "/gradio_api/call/predict_image"
    event = client.post(url, json={"data": data}).raise_for_status().json()["event_id"]
    answer = client.get(f"{url}/{event}").text
    spent = 1000 * (time.perf_counter() - start)
    _, result = json.loads(answer.strip().rpartition("data: ")[2])
    if not result["faces"]:
        raise RuntimeError(f"a face must be found. Received: {result}")
    return spent


def main(
    beside: Annotated[
        Path | None, typer.Option(help="Another checkout, whose page is asked in turn with ours.")
    ] = None,
    times: Annotated[int, typer.Option(min=2, help="Each picture so many times.")] = 30,
) -> None:
    """Print median and 90th percentile of /predict_image, and the ratio to another checkout's."""
    folders = {"ours": ROOT} | ({} if beside is None else {"beside": beside.resolve()})
    rows = []
    with contextlib.ExitStack() as stack:
        clients: dict[str, httpx.Client] = {}
        for name, folder in folders.items():
            server: Server = stack.enter_context(
                run_app([sys.executable, "app.py"], folder, dict(os.environ))
            )
            clients[name] = stack.enter_context(httpx.Client(base_url=server.url, timeout=120))
        time.sleep(5)  # what starts in the background
        for picture, content in _pictures().items():
            spent: dict[str, list[float]] = {name: [] for name in clients}
            for i in range(_WARM_UP + times):
                # In turn, so that what else the machine does is the same for both.
                for name, client in clients.items():
                    ms = _predict_ms(client, content)
                    if i >= _WARM_UP:
                        spent[name].append(ms)
            base = statistics.median(spent[list(clients)[-1]])
            for name, values in spent.items():
                median = statistics.median(values)
                rows.append(
                    {
                        "picture": picture,
                        "page": name,
                        "median ms": round(median, 1),
                        "least ms": round(min(values), 1),
                        "p90 ms": round(statistics.quantiles(values, n=10)[-1], 1),
                        "ratio": round(median / base, 3),
                    }
                )
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    typer.run(main)
