"""Heads of HTTP/1.1 answers, as bytes: where one ends, which ones are none, and a 204 as every parser takes it.

A 204 says that the failed tasks are gone, and its head says nothing else that is needed. A parser that refuses the head
for a field of it, which no other client minds, would have the deletion repeated.
"""

from __future__ import annotations

import os
import re
import sys

LONGEST = 256 << 10  # bytes of a head, about as many as curl takes
MOST_FIELDS = 10_000  # in a few milliseconds, or 20 of a parser in Python

# aiohttp's parsers and others take a line without carriage return, and some servers send one too many.
_END = re.compile(rb"\n\r{0,2}\n")
_LONGEST_END = 4
_START = b"HTTP/"
# 101 is no interim answer: HTTP ends behind it.
_BEFORE = re.compile(
    rb"(?:[\r\n]++|HTTP/\d\.\d[ \t]+1(?!01)\d\d(?!\d)[^\n]*+\n(?:(?!\r{0,2}\n)[^\n]*+\n)*+\r{0,2}\n)++"
)
_STATUS_LINE = re.compile(rb"HTTP/(\d)(?:\.(\d))?[ \t]+(204|304)(?:[ \t]+([\t\x20-\x7e\x80-\xff]*)|(?=[\r\n]))")
_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+"
_FRAMING = rb"(?!(?i:content-length|transfer-encoding):)"
_IN_ORDER = re.compile(
    rb"HTTP/1\.[01] (?:204|304)(?: [\t\x20-\x7e\x80-\xff]*+)?\r?\n"
    rb"(?:FRAMING FIELD\r?\n)*+(?:(?i:content-length):[ \t]*+0[ \t]*+\r?\n(?:FRAMING FIELD\r?\n)*+)?\r?\n".replace(
        b"FRAMING ", _FRAMING
    ).replace(b"FIELD", _FIELD)
)
# Fields that a strict parser takes once only, and that nobody reads where there is no body, are left out.
_KEPT = re.compile(
    rb"(?<=\n)(?!(?:content-[a-z]+|transfer-encoding|server|etag|host|max-forwards|user-agent):)"
    + _FIELD
    + rb"(?=\r{0,2}\n)",
    re.IGNORECASE,
)
# What aiohttp goes by: its parsers are strict then, and take no line without carriage return.
_IS_STRICT = sys.flags.dev_mode or (not sys.flags.ignore_environment and bool(os.environ.get("PYTHONASYNCIODEBUG")))


def split_head(data: bytes, known: int) -> tuple[bytes, bytes]:
    """The first whole head of a final answer, and what stands behind it; an empty head where it has not ended.

    Blank lines and interim answers before it are left out. In the first `known` bytes no head ends.
    """
    start = max(known - _LONGEST_END + 1, 0)
    while found := _END.search(data, start):
        before = _BEFORE.match(data)
        if before is not None:
            data, start = data[before.end() :], 0
        elif data.startswith(_START):
            return data[: found.end()], data[found.end() :]
        else:
            break
    return b"", data.lstrip(b"\r\n")


def may_be_head(data: bytes) -> bool:
    """Whether it begins as an answer does, as far as it goes."""
    return data[: len(_START)] == _START[: len(data)]


def plain_head(head: bytes) -> tuple[bytes, bool]:
    """A whole head, and whether its connection is good for no other answer, though a parser may not see why.

    A 204 or 304 has no body whatever its head says: it comes without the fields that announce one, or are malformed.
    """
    in_order = _IN_ORDER.fullmatch(head) is not None
    if (in_order and not _IS_STRICT) or (line := _STATUS_LINE.match(head)) is None:
        return head, False
    major, minor, status, reason = line.groups()
    version = b"1.0" if (major, minor) == (b"1", b"0") else b"1.1"
    start = b"HTTP/" + version + b" " + status + b" " + (reason or b"")
    return b"\r\n".join([start, *_KEPT.findall(head), b"", b""]), not in_order
