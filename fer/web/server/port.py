"""The port that the environment names, looked at before Gradio reads it with a traceback."""

import os

from fer.errors import InputError

__all__ = ["check_port"]


def check_port(text: str | None) -> None:
    """Raise where GRADIO_SERVER_PORT is set to what is no port.

    Raises:
        InputError: it is not a whole number from 1 to 65535.
    """
    if text is None or (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        return
    raise InputError(f"GRADIO_SERVER_PORT must be a number from 1 to 65535. Received: {text!r}")


check_port(os.environ.get("GRADIO_SERVER_PORT"))
