"""Heads of answers as bytes: where they end, and a 204 that every parser takes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import http_parser
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.transport import heads
from sdrs_async.transport.heads import LONGEST, MOST_FIELDS, may_be_head, plain_head, split_head

LINE = b"HTTP/1.1 204 No Content\r\n"


@pytest.mark.parametrize(
    "head",
    [
        LINE + b"\r\n",
        LINE + b"Content-Length: 0\r\n\r\n",
        LINE + b"X-A: caf\xc3\xa9 \xff\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\ncontent-length:0 \r\nDate: x\r\n\r\n",
        b"HTTP/1.0 204\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\nServer: x\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\ngarbage\r\n\r\n",
        b"HTTP/1.1 2040 x\r\ngarbage\r\n\r\n",
        b"HTTP/1.1 2x4 x\r\ngarbage\r\n\r\n",
    ],
)
def test_what_is_in_order_or_no_204_is_left_alone(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its connection is as good as the parser says."""
    monkeypatch.setattr(heads, "_IS_STRICT", False)
    assert plain_head(head) == (head, False)


@pytest.mark.parametrize(
    ("head", "plain"),
    [
        (LINE + b"Content-Length: 2\r\nDate: x\r\n\r\n", LINE + b"Date: x\r\n\r\n"),
        (LINE + b"Content-Length: 0\r\ncontent-length: 0\r\n\r\n", LINE + b"\r\n"),
        (LINE + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", LINE + b"\r\n"),
        (LINE + b"Server : x\r\nX-A: a\0b\r\nX-B: a\rb\r\n: x\r\nX\xc3\xa9: a\r\nno\r\nX-C: y\r\n\r\n",
         LINE + b"X-C: y\r\n\r\n"),
        (LINE + b"X-A: a\r\n b\r\nX-B:c\r\n\r\n", LINE + b"X-A: a\r\nX-B:c\r\n\r\n"),
        (b"HTTP/1.1  204\tGone\x01\r\nX-A: b\r\r\n\r\r\n", b"HTTP/1.1 204 Gone\r\nX-A: b\r\n\r\n"),
        (b"HTTP/1.0 204\r\nContent-Length: 1\r\n\r\n", b"HTTP/1.0 204 \r\n\r\n"),
        (b"HTTP/2 304 x\nA: b\n\n", b"HTTP/1.1 304 x\r\nA: b\r\n\r\n"),
    ],
)  # fmt: skip
def test_an_odd_204_comes_without_what_is_odd(head: bytes, plain: bytes) -> None:
    """Status, well-formed fields, and the end of its connection; nothing that announces a body."""
    assert plain_head(head) == (plain, True)


def test_a_strict_parser_gets_it_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's development mode makes aiohttp refuse more: line feeds alone, and what comes twice."""
    monkeypatch.setattr(heads, "_IS_STRICT", True)
    head = b"HTTP/1.1 204 No Content\nServer: a\nServer: b\nDate: x\n\n"
    assert plain_head(head) == (LINE + b"Date: x\r\n\r\n", False)


FIELDS = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"Content-Length: 0", b"Content-Length: x", b"Transfer-Encoding: chunked", b"A: b", b" c"]),
        st.sampled_from([b"Server: x", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2", b"\xc3\xa9: d"]),
    ).map(lambda line: line.replace(b"\n", b"")),
    max_size=8,
)
LINES = st.sampled_from([b"HTTP/1.1 204", b"HTTP/1.1  204 \xff\0", b"HTTP/1.0 304 x", b"HTTP/9 204 \r"])
ENDS = st.sampled_from([b"\n", b"\r\n"])


@given(line=LINES, fields=FIELDS, end=ENDS, strict=st.booleans())
def test_every_204_is_read(line: bytes, fields: list[bytes], end: bytes, strict: bool) -> None:
    """Whatever its fields are: both parsers of aiohttp take it, as one head without a body."""
    head, _ = split_head(end.join([line, *fields, b"", b""]), 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "_IS_STRICT", strict or heads._IS_STRICT)
        plain, _ = plain_head(head)
    for kind in {http_parser.HttpResponseParser, http_parser.HttpResponseParserPy}:
        messages = _parsed(kind, plain)
        assert [message.code in (204, 304) and not message.chunked for message in messages] == [True]
        assert messages[0].headers.get("Content-Length", "0").strip() == "0"


def _parsed(kind: Any, head: bytes) -> Any:
    loop = asyncio.new_event_loop()
    parser = kind(BaseProtocol(loop), loop, 1 << 16, max_headers=MOST_FIELDS, auto_decompress=False)
    try:
        return [message for message, _ in parser.feed_data(head)[0]]
    finally:
        loop.close()


@given(
    before=st.lists(st.sampled_from([b"\r\n", b"\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 x\nA: b\n\n"])),
    rest=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_a_head_is_found_however_it_is_cut(before: list[bytes], rest: bytes, cuts: list[int]) -> None:
    """Blank lines and interim answers before it are none, and what stands behind it is not lost."""
    answer = LINE + b"A: b\r\n\r\n"
    whole = b"".join([*before, answer, rest])
    places = sorted({min(cut, len(whole)) for cut in cuts} | {len(whole)})
    held, start = b"", 0
    for place in places:
        head, left = split_head(held + whole[start:place], len(held))
        start = place
        if head:
            assert head == answer
            assert left + whole[place:] == rest
            return
        assert may_be_head(left)
        held = left
    raise AssertionError


def test_a_flood_of_interim_answers_is_passed_over_at_once() -> None:
    """10,000 of them cost no turn of a loop each."""
    assert split_head(b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000 + LINE + b"\r\nx", 0) == (LINE + b"\r\n", b"x")
    assert split_head(b"\n" * LONGEST, 0) == (b"", b"")


@pytest.mark.parametrize(("data", "may"), [(b"", True), (b"HT", True), (b"HTTP/1", True), (b"SSH-2", False)])
def test_another_protocol_is_no_head(data: bytes, may: bool) -> None:
    """Nobody waits for its end."""
    assert may_be_head(data) is may
