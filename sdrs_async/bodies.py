"""The bodies of answers, within bounds: of what is read, of what is unpacked from it, and of what is parsed at once."""

from __future__ import annotations

import asyncio
import json
import math
import zlib

import aiohttp

__all__ = ["parse_page", "read_whole", "unpacked"]

# 999 items of a list hold half of that; each mark begins or divides values. More of them, or longer numbers, could
# hold the event loop for longer than 50 ms, since parsing keeps the interpreter's lock.
_MOST_MARKS = 50_000
_MOST_ESCAPES = 300_000
_LONGEST_NUMBER = 20
_STEP = 1 << 20  # bytes that are unpacked before the event loop has its turn
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


async def read_whole(response: aiohttp.ClientResponse, most: int) -> bytes:
    """A body to its end, unpacked. Raises `ClientPayloadError` if that is more than `most` bytes, packed or not."""
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        _check(body, most)
    whole = await unpacked(bytes(body), response.headers.get("Content-Encoding", ""), most)
    _check(whole, most)
    return whole


def _check(body: bytes | bytearray, most: int) -> None:
    if len(body) > most:
        raise aiohttp.ClientPayloadError(f"the answer is longer than {most >> 20} MiB")


async def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """What a body is that may have been packed, though nobody asked for that; if longer, a little over `most` bytes.

    Raises `ClientPayloadError` for what cannot be unpacked; what was cut off is unpacked as far as it goes.
    """
    encoding = encoding.strip().lower()
    if not body or encoding in ("", "identity"):
        return body
    if encoding not in _PACKED:
        raise aiohttp.ClientPayloadError("the answer is packed in a way that nobody asked for")
    # 47: zlib tells its own header and that of gzip apart; -15: some servers send deflate without one.
    stream = zlib.decompressobj(-15 if encoding == "deflate" and body[0] & 0x0F != 8 else 47)
    whole = bytearray()
    try:
        while body and len(whole) <= most:
            whole += stream.decompress(body, _STEP)
            body = stream.unconsumed_tail
            await asyncio.sleep(0)
    except zlib.error:
        raise aiohttp.ClientPayloadError("the answer cannot be unpacked") from None
    return bytes(whole)


def parse_page(body: bytes) -> object:
    """The value of a page in JSON, parsed in at most 50 ms. Raises `ValueError` for anything else, and for more.

    A fraction is no field of a list, and converting one takes up to a microsecond: it becomes "not a number".
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_MARKS or body.count(b"\\") > _MOST_ESCAPES:
        raise ValueError("the answer holds more values than a page of a list can")
    try:
        return json.loads(body, parse_int=_whole_number, parse_float=_fraction)
    except (ValueError, RecursionError):
        raise ValueError("the answer is no JSON object") from None


def _whole_number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number without end")
    return int(digits)


def _fraction(_: str) -> float:
    return math.nan
