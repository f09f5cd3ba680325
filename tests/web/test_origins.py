"""Under which hosts the page is served, and whom it lets ask."""

import pytest

from fer.settings import Settings
from fer.web.server.origins import Hosts, security_headers


def hosts(*named, shared=None):
    return Hosts(named, lambda: shared)


@pytest.mark.parametrize(
    ("host", "reached", "known"),
    [
        ("localhost", "127.0.0.1", True),
        ("localhost:7860", "127.0.0.1", True),
        ("LocalHost:7860", "::1", True),
        ("127.0.0.1:7860", "127.0.0.1", True),
        ("127.8.9.1", "127.0.0.1", True),
        ("[::1]:7860", "::1", True),
        ("fer.example.org", "10.0.0.5", True),
        ("FER.example.org:443", "127.0.0.1", True),
        ("fer.example.org.", "127.0.0.1", True),
        ("a.faces.example", "127.0.0.1", True),
        # A name that somebody pointed at this machine.
        ("evil.example", "127.0.0.1", False),
        ("evil.example:7860", "192.168.1.5", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("evilfer.example.org", "127.0.0.1", False),
        ("faces.example.evil", "127.0.0.1", False),
        # An address cannot be pointed elsewhere; one of another machine is none of this one.
        ("192.168.1.5:7860", "192.168.1.5", True),
        ("203.0.113.7", "172.17.0.2", True),
        ("[2001:db8::1]:7860", "2001:db8::1", True),
        ("192.168.1.5:7860", "127.0.0.1", False),
        ("192.168.1.5:7860", None, False),
        *((name, "127.0.0.1", False) for name in ("", " ", "a b", "localhost:x", "localhost:")[:4]),
        ("user@localhost", "127.0.0.1", False),
        ("localhost/x", "127.0.0.1", False),
        ("localhost#", "127.0.0.1", False),
        ("localhost\t", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
        ("0x7f.1", "127.0.0.1", False),
    ],
)
def test_the_hosts_of_the_page(host, reached, known):
    assert hosts("fer.example.org", ".faces.example").know(host, reached) == known


def test_a_share_link_is_a_host_while_there_is_one():
    assert hosts(shared="https://ab12.gradio.live").know("ab12.gradio.live", "127.0.0.1")
    assert not hosts(shared="https://ab12.gradio.live").know("cd34.gradio.live", "127.0.0.1")
    assert not hosts().know("ab12.gradio.live", "127.0.0.1")


def test_any_host_where_an_operator_says_so():
    assert hosts("*").know("whatever.example", "127.0.0.1")


@pytest.mark.parametrize(
    ("environment", "known", "unknown"),
    [
        ({}, (), ("a-b.hf.space", "fer.example.org")),
        ({"SPACE_ID": "a/b", "SPACE_HOST": "a-b.hf.space"}, ("a-b.hf.space",), ("evil.example",)),
        ({"FER_ALLOWED_HOSTS": "fer.example.org, B.example"}, ("fer.example.org", "b.example"), ()),
        ({"FER_ALLOWED_HOSTS": "https://fer.example.org:8443"}, ("fer.example.org:8443",), ()),
        ({"FER_ALLOWED_HOSTS": " , "}, (), ("fer.example.org",)),
    ],
)
def test_hosts_are_named_by_the_environment(environment, known, unknown):
    served = hosts(*Settings.from_env(environment).allowed_hosts)
    assert all(served.know(host, "10.0.0.5") for host in known)
    assert not any(served.know(host, "10.0.0.5") for host in unknown)


@pytest.mark.parametrize(
    ("origin", "host", "let"),
    [
        ("http://localhost:7860", "localhost:7860", True),
        ("http://127.0.0.1:7860", "127.0.0.1:7860", True),
        ("https://fer.example.org", "fer.example.org", True),
        ("https://fer.example.org", "fer.example.org:443", True),
        ("http://fer.example.org", "127.0.0.1:7860", True),  # named; a proxy wrote another Host
        ("http://localhost:3000", "localhost:7860", False),
        ("http://localhost:7860", "127.0.0.1:7860", False),
        ("https://evil.example", "localhost:7860", False),
        ("https://other.hf.space", "a-b.hf.space", False),
        ("https://a-b.hf.space", "a-b.hf.space", True),
        ("null", "localhost:7860", False),
        ("", "", False),
        ("file://", "localhost", False),
        ("chrome-extension://localhost:7860", "localhost:7860", False),
        ("http://", "", False),
    ],
)
def test_who_may_ask(origin, host, let):
    assert hosts("fer.example.org", ".hf.space").let_ask(origin, host) == let


@pytest.mark.parametrize(("on_space", "around"), [(True, "huggingface.co"), (False, "localhost")])
def test_around_the_page_stands_the_hub_or_a_notebook_of_this_machine(on_space, around):
    headers = {name.decode(): value.decode() for name, value in security_headers(on_space)}
    ancestors = headers["content-security-policy"].partition("frame-ancestors ")[2]
    assert ancestors.startswith("'self' ")
    assert around in ancestors
    assert "*" not in ancestors.split()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "camera=(self)" in headers["permissions-policy"]
