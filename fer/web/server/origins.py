"""Under which hosts the page is served, and what other pages may do with it.

A browser sends what any page asks it to send. A page of another origin neither reads an answer
of this one nor changes anything here, and a name that somebody points at this machine is no
name of this page (DNS rebinding).
"""

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

__all__ = ["Hosts", "security_headers"]

# On a Space the Hub shows the page in a frame. Source: hf.co/docs/hub/spaces-embed.
_HUB = "https://huggingface.co https://*.huggingface.co https://hf.co https://*.hf.space"
# Notebooks on this machine show the page in a frame.
_HERE = "http://localhost:* http://127.0.0.1:*"
# Gradio runs the scripts of its HTML components as text, has styles and scripts in its page, and
# makes its recorder of a blob.
_CONTENT = (
    "default-src 'self'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; "
    "font-src 'self' data:; "
    "connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; "
    "frame-src 'none'; "
    "object-src 'none'; "
    "base-uri 'self'; "
    "form-action 'self'"
)


def security_headers(on_space: bool) -> list[tuple[bytes, bytes]]:
    """Return the security headers of every answer."""
    policy = f"{_CONTENT}; frame-ancestors 'self' {_HUB if on_space else _HERE}"
    return [
        (b"content-security-policy", policy.encode()),
        (b"cross-origin-resource-policy", b"same-origin"),
        # "self" is this page; a page around it passes its camera on with `allow`.
        (
            b"permissions-policy",
            b"camera=(self), microphone=(self), display-capture=(), geolocation=(), "
            b"midi=(), payment=(), serial=(), usb=()",
        ),
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]


class Hosts:
    """The hosts under which the page is served.

    Args:
        named: as `Settings.allowed_hosts`; "*" for any.
        shared: the address of the page's share link, None without one.
    """

    def __init__(self, named: Iterable[str], shared: Callable[[], str | None]) -> None:
        names = {_name_of(name.rpartition("//")[2]) or "" for name in named} - {""}
        self._any = "*" in names
        self._names = frozenset(name for name in names if name[0] != ".")
        self._endings = tuple(name for name in names if name[0] == ".")
        self._shared = shared

    def know(self, host: str, reached: str | None) -> bool:
        """Whether a Host header names this page.

        An address instead of a name cannot be pointed at another machine. One of this
        machine's is as good as another where the request came to one of them.

        Args:
            host: the header, with or without a port.
            reached: the address of this machine that the request came to.
        """
        name = _name_of(host)
        if name is None:
            return False
        if self._any or name == "localhost" or name.endswith(self._endings) or self._named(name):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not _is_loopback(reached)

    def let_ask(self, origin: str, host: str) -> bool:
        """Whether a page of an Origin header is this one, or of a host that is named.

        Not by its scheme: a proxy may have taken https off.

        Args:
            origin: the header.
            host: that of the same request.
        """
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not parts.netloc:
            return False
        port = {"http": ":80", "https": ":443"}[parts.scheme]
        bare = [name.lower().removesuffix(port) for name in (parts.netloc, host)]
        return bare[0] == bare[1] or self._named(_name_of(parts.netloc))

    def _named(self, name: str | None) -> bool:
        shared = _name_of(urlsplit(self._shared() or "").netloc)
        return name is not None and (name in self._names or name == shared)


def _name_of(host: str) -> str | None:
    """Return the name or address in a Host header; None if there is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.removesuffix(".") or None


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return True
