"""What every page says at its head and foot."""

import re

from fer.web.notice import about_html, head_html, notice_html


def words_of(html):
    return re.sub(r"<[^>]+>", " ", html).split()


def test_what_is_seen_at_once_is_short():
    seen, _, folded = notice_html("Kept.", ["More."]).partition("<details>")
    assert len(words_of(seen)) < 70
    assert "Art. 5(1)(f)" in folded
    assert "More." in folded
    assert len(words_of(head_html())) < 30


def test_the_operator_is_named_where_there_is_one():
    assert "run by" not in notice_html("", [])
    text = notice_html("", [], "A <b>, https://example.org/a?b=1&c, or so")
    address = "https://example.org/a?b=1&amp;c"
    assert f'run by A &lt;b&gt;, <a href="{address}">{address}</a>, or so.' in text
    assert '<a href="mailto:x@example.org">' in notice_html("", [], "X, x@example.org")
    assert "run by The Club." in notice_html("", [], "The Club")


def test_what_is_unavailable_is_said_and_why():
    text = about_html("Model: <x>.", ["Using Haar, because <it> is there"])
    assert "Model: &lt;x&gt;." in text
    assert "<summary>Using Haar. Why?</summary>" in text
    assert "because &lt;it&gt; is there" in text
    assert "<details" not in about_html("Model.")
