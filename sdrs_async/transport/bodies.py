"""The bodies of answers, within bounds: of what is read, of what is unpacked from it, and of what is parsed at once."""

from __future__ import annotations

import asyncio
import json
import math
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import aiohttp

# What parsing costs at most, in nanoseconds, measured: for each mark that begins or divides values (distinct keys,
# small objects, numbers), each escape, and each byte (text beyond the basic plane). Since parsing keeps the
# interpreter's lock, a page may cost 36 milliseconds: 90,000 values. 999 items of 60 fields have 60,000.
_MARK, _ESCAPE, _BYTE = 400, 16, 2
_MOST = 36_000_000
_LONGEST_NUMBER = 20
_STEP = 1 << 20  # bytes that are unpacked before the event loop has its turn
_MEMBER = b"\x1f\x8b"  # begins each part of gzip, which may have many; what follows otherwise is no part of it
_MOST_MEMBERS = 100
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_SHOWN_ENCODING = re.compile(r"[a-z0-9_., -]{1,40}")


class Unreadable(ValueError):
    """An answer whose body is no use, as it will be at another try; its text says why."""


class Piece(NamedTuple):
    """What came of a body, unpacked. `is_whole`: it came to its end; `unread`: why it could not be unpacked."""

    data: bytes
    is_whole: bool = True
    unread: str = ""


async def read_whole(response: aiohttp.ClientResponse, most: int) -> bytes:
    """A body to its end, unpacked. Raises `Unreadable` if it is longer than `most` bytes, or cannot be unpacked."""
    body = bytearray()
    while len(body) <= most and (chunk := await response.content.readany()):
        body += chunk
    whole = await unpacked(bytes(body), encoding_of(response), most) if len(body) <= most else b""
    if max(len(body), len(whole)) > most:
        raise Unreadable(f"the answer is longer than {most >> 20} MiB, larger than any list, and was not read")
    return whole


def encoding_of(response: aiohttp.ClientResponse) -> str:
    """How its body is packed; what several headers say of that counts together."""
    return ", ".join(response.headers.getall("Content-Encoding", ()))


async def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """What `unpacking` gives, as a whole; the event loop has its turn after each piece that was unpacked."""
    whole = bytearray()
    for piece in unpacking(body, encoding, most):
        whole += piece
        if piece is not body:
            await asyncio.sleep(0)
    return bytes(whole)


def unpacking(body: bytes, encoding: str, most: int) -> Iterator[bytes]:
    """A body unpacked, in pieces, none after `most` bytes; one cut off as far as it goes. Raises `Unreadable`."""
    encoding = encoding.strip().lower()
    if not body or encoding in ("", "identity"):
        yield body
        return
    if encoding not in _PACKED:
        how = f"packed as {encoding!r}" if _SHOWN_ENCODING.fullmatch(encoding) else "packed in an unknown way"
        raise Unreadable(f"an answer that is {how}, which nobody asked for")
    # 47: zlib tells its own header and that of gzip apart; -15: some servers send deflate without one.
    wbits = -15 if encoding == "deflate" and body[0] & 0x0F != 8 else 47
    try:
        for _ in range(_MOST_MEMBERS):
            stream = zlib.decompressobj(wbits)
            while body and most >= 0:
                yield (piece := stream.decompress(body, _STEP))
                most -= len(piece)
                body = stream.unconsumed_tail
            body = stream.unused_data
            if most < 0 or not body.startswith(_MEMBER):
                return
    except zlib.error:
        raise Unreadable(f"an answer that is packed as {encoding!r} and cannot be unpacked") from None
    raise Unreadable(f"an answer that is packed in more than {_MOST_MEMBERS} parts")


async def parse_page(body: bytes) -> object:
    """The value of a page in JSON, parsed in 50 ms at most. Raises `Unreadable` for more, `ValueError` for others.

    A fraction is no field of a list, and converting one takes up to a microsecond: it becomes "not a number".
    """
    await _check_values(body)
    try:
        return json.loads(body, parse_int=_whole_number, parse_float=lambda _: math.nan)
    except (ValueError, RecursionError):
        raise ValueError("the answer is no JSON object") from None


async def _check_values(body: bytes) -> None:
    """Raise `Unreadable` for what takes too long to parse. A large page is looked at in several turns of the loop."""
    values, escapes = _marks(body), body.count(b"\\")
    others = escapes * _ESCAPE + len(body) * _BYTE
    if values * _MARK + others > _MOST and others <= _MOST:
        await asyncio.sleep(0)
        values = _marks(_outside_of_strings(body))
        await asyncio.sleep(0)
    if values * _MARK + others > _MOST:
        size = f"{values:,} values, {escapes:,} escapes, {len(body) / (1 << 20):.1f} MiB"
        raise Unreadable(
            f"the service's answer is larger than any list should be, and was not read: {size}, where 999 items of "
            f"60 fields are 60,000 values; its operator has to mend that"
        )


def _marks(text: bytes) -> int:
    return sum(map(text.count, (b",", b"[", b"{")))


def _outside_of_strings(body: bytes) -> bytes:
    """The page without its strings; as it is where there are more of them than can be parsed in time."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    if plain.count(b'"') * _MARK > 4 * _MOST:  # a mark for two strings, of two quotes each
        return body
    return b"".join(plain.split(b'"')[::2])


def _whole_number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number without end")
    return int(digits)
