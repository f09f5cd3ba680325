"""A visitor of the live page without a browser: the same calls, the state carried along."""

import base64
import io
import time
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer.preprocess import resize

__all__ = ["Visitor", "data_url"]


def data_url(frame: NDArray[np.uint8], width: int = 320, quality: int = 70) -> str:
    """Return a frame (H, W, 3) uint8 RGB as the page sends it."""
    height = round(width * frame.shape[0] / frame.shape[1])
    buffer = io.BytesIO()
    Image.fromarray(resize(frame, width, height)).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


class Visitor:
    """One visitor; frames go one after the other, as from the page.

    Args:
        client: shared or not; its `base_url` is the app's.
        name: by which the server tells visitors apart.
    """

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self._client = client
        self._name = name
        self._component: int | None = None
        self.state: Any = None

    async def call(self, data: Any, **changes: Any) -> httpx.Response:
        """Call the server function with any data; `changes` replace parts of the call."""
        if self._component is None:
            config = (await self._client.get("/config")).json()
            (self._component,) = (
                item["id"]
                for item in config["components"]
                if item["props"].get("elem_id") == "live"
            )
        call = {
            "data": data,
            "component_id": self._component,
            "session_hash": self._name,
            "fn_name": "live_frame",
        }
        return await self._client.post("/gradio_api/component_server", json=call | changes)

    async def send(self, image: str) -> dict[str, Any]:
        """Return the answer to one frame; the state of the tracker is kept for the next."""
        request = {
            "image": image,
            "state": self.state,
            "time_s": time.monotonic(),
            "visitor": self._name,
        }
        answer: dict[str, Any] = (await self.call(request)).json()
        self.state = answer.get("state", self.state)
        return answer
