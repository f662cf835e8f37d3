"""Bodies of answers: bounded as they come, as they are unpacked, and as they are parsed."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sdrs_async.cloud.client import Client
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Listing, Reply, Target, Verdict
from sdrs_async.transport.bodies import Unreadable, parse_page, unpacked
from tests.support.raw_server import Connection, RawServer, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

LONG = 60.0
MIB = 1 << 20
PAGE = b'{"server_groups":[{"id":"a"}],"count":1}'
CALLS: dict[str, Listing | Target] = {
    "page": Listing("/v1/p1/server-groups", "", "p1"),
    "delete": Target("p1", "g1"),
}
ERROR = b'{"error":{"code":"SDRS.1013","message":"no such group"}}'
TOO_LONG = "the answer is longer than 8 MiB, larger than any list, and was not read"


def _deflated(data: bytes, wbits: int) -> bytes:
    stream = zlib.compressobj(wbits=wbits)
    return stream.compress(data) + stream.flush()


@asynccontextmanager
async def _answering(reply: bytes) -> AsyncIterator[tuple[RawServer, Client]]:
    async def handler(connection: Connection, head: bytes) -> bytes:
        return reply

    async with (
        serving(handler) as server,
        Client(server.url, StaticToken("a-token"), limits=Limits(), retry=RetryPolicy()) as client,
    ):
        yield server, client


async def _reply(status: int, body: bytes, *headers: str) -> Reply:
    async with _answering(answer(status, body, *headers)) as (server, client):
        reply = await client.send(CALLS["page" if status == 200 else "delete"], LONG)
        assert len(server.arrivals) == 1
        return reply


@pytest.mark.parametrize("call", ["page", "delete"])
async def test_nothing_packed_is_asked_for(call: str) -> None:
    """Neither for a list nor for a delete."""
    async with _answering(answer(200, PAGE)) as (server, client):
        await client.send(CALLS[call], LONG)
        assert server.header("Accept-Encoding") == "identity"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda data: b"".join(gzip.compress(data[at : at + 10]) for at in range(0, len(data), 10))),
        ("gzip", lambda data: gzip.compress(data) + gzip.compress(b"") + bytes(20)),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: _deflated(data, -15)),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_what_comes_packed_all_the_same_is_read(encoding: str, pack: type[bytes]) -> None:
    """A gateway that packs whatever it is asked is no reason to fail."""
    reply = await _reply(200, pack(PAGE), f"Content-Encoding: {encoding}")
    assert (reply.verdict, reply.data) == (Verdict.READ, json.loads(PAGE))
    refused = await _reply(400, pack(ERROR), f"Content-Encoding: {encoding}")
    assert (refused.verdict, refused.error_code, refused.message) == (Verdict.GONE, "SDRS.1013", "no such group")


ENCODINGS = ["br", "zstd", "gzip, gzip", "compress", "x\u00e9", "foo", "gzip"]
NOBODY_CAN_UNPACK = b"\x1b\x06 nothing that anybody could unpack"


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_what_cannot_be_unpacked_keeps_its_status(encoding: str) -> None:
    """An error has its status, and its wait, whatever its body is; only the text is lost, and that is said. A page of a
    list is of no use, and would be none at another try.
    """
    header = f"Content-Encoding: {encoding}"
    for status, verdict in ((403, Verdict.FORBIDDEN), (503, Verdict.TRANSIENT), (404, Verdict.GONE)):
        refused = await _reply(status, NOBODY_CAN_UNPACK, header)
        assert (refused.verdict, refused.status_code) == (verdict, status)
        assert "an answer that is packed" in refused.message
    throttled = await _reply(429, NOBODY_CAN_UNPACK, header, "Retry-After: 7")
    assert (throttled.verdict, throttled.status_code, throttled.retry_after) == (Verdict.THROTTLED, 429, 7.0)
    page = await _reply(200, NOBODY_CAN_UNPACK, header)
    assert (page.verdict, page.status_code) == (Verdict.REJECTED, 200)
    assert "an answer that is packed" in page.message
    assert (encoding in page.message) is encoding.isascii()


async def test_packed_twice_by_two_headers_is_not_unpacked_once() -> None:
    """What several headers say counts together: half unpacked, an answer is noise."""
    twice = gzip.compress(gzip.compress(ERROR))
    refused = await _reply(503, twice, "Content-Encoding: gzip", "Content-Encoding: gzip")
    assert (refused.verdict, refused.status_code) == (Verdict.TRANSIENT, 503)
    assert refused.message == "an answer that is packed as 'gzip, gzip', which nobody asked for"


async def test_a_deletion_whose_answer_cannot_be_unpacked_is_one() -> None:
    """Its 2xx says so; only what calls itself a page for a browser is none, whatever is in it."""
    async with _answering(answer(200, NOBODY_CAN_UNPACK, "Content-Encoding: br")) as (_, client):
        assert (await client.send(CALLS["delete"], LONG)).verdict is Verdict.DELETED
    html = "Content-Type: text/html; charset=utf-8"
    async with _answering(answer(200, NOBODY_CAN_UNPACK, "Content-Encoding: br", html)) as (_, client):
        reply = await client.send(CALLS["delete"], LONG)
        assert (reply.verdict, reply.message) == (Verdict.REJECTED, PAGE_WORDS)


# ---- pages for browsers, and errors under a 2xx

PAGE_WORDS = "a web page instead of an answer: is this the endpoint?"
LOGIN = b"<!DOCTYPE html>\n<html><head><title>Sign &amp; in</title></head></html>"
LOGIN_WORDS = "a web page instead of an answer ('Sign & in'): is this the endpoint?"
HTML, PLAIN = "Content-Type: text/html", "Content-Type: text/plain"
WEB_PAGES = {
    "doctype": (LOGIN, PLAIN),
    "lower case": (LOGIN.lower(), "content-type: application/json"),
    "blanks": (b"\r\n\t " + LOGIN, PLAIN),
    "mark": (b"\xef\xbb\xbf" + LOGIN, PLAIN),
    "utf-16": (LOGIN.decode().encode("utf-16"), PLAIN),
    "utf-16 big": (b"\xfe\xff" + LOGIN.decode().encode("utf-16-be"), PLAIN),
    "prolog": (b'<?xml version="1.0"?>' + LOGIN, PLAIN),
    "comment": (b"<!-- a -- b -->" + LOGIN, PLAIN),
    "no type": (LOGIN, "X-A: b"),
    "packed": (gzip.compress(LOGIN), "Content-Encoding: gzip"),
    "by its type": (b"Please sign in", "Content-Type: TEXT/HTML;charset=utf-8"),
    "xhtml": (b"Please sign in", "Content-Type: application/xhtml+xml"),
    "part": (b"<script>location='/login'</script>", PLAIN),
    "long blanks": (b" " * 65_536 + b"<p>in</p>", HTML),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "Content-Type: application/xml"),
}


@pytest.mark.parametrize("call", ["page", "delete"])
@pytest.mark.parametrize(("name", "status"), [*((name, 200) for name in WEB_PAGES), ("doctype", 203), ("doctype", 206)])
async def test_a_page_for_a_browser_is_no_answer(name: str, status: int, call: str) -> None:
    """A login page or a captive portal has deleted nothing, and lists nothing: rejected, and said what came."""
    body, header = WEB_PAGES[name]
    async with _answering(answer(status, body, header)) as (server, client):
        reply = await client.send(CALLS[call], LONG)
        assert (reply.verdict, reply.status_code, len(server.arrivals)) == (Verdict.REJECTED, status, 1)
        title = "title>" in body.decode("utf-8", "replace").lower() or name.startswith(("packed", "utf-16"))
        assert reply.message.lower() == (LOGIN_WORDS if title else PAGE_WORDS).lower()


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"", [HTML]),
        (200, b"\r\n", [HTML]),
        (200, b"", []),
        (202, b"{}", [HTML]),
        (200, b"OK", [PLAIN]),
        (200, b'{"job_id":"a"}', ["Content-Type: application/json"]),
        (200, b'{"code":0,"message":"ok","error":null}', []),
        (200, b'{"code":200,"message":"ok"}', []),
        (200, b'{"error_code":"","error_msg":""}', []),
        (200, b'{"error_code":"0","error_msg":"<html>"}', []),
        (206, b"[1, 2", []),
        (200, b'{"error_code":"APIG.0301","error_msg":"cut o', []),
        (204, b"", [HTML]),
    ],
)
async def test_any_other_2xx_of_a_deletion_is_one(status: int, body: bytes, headers: list[str]) -> None:
    """An empty body of whatever type, JSON of whatever type that tells of no error, plain text."""
    async with _answering(answer(status, body, *headers)) as (_, client):
        reply = await client.send(CALLS["delete"], LONG)
        assert (reply.verdict, reply.status_code, reply.message) == (Verdict.DELETED, status, "")


@pytest.mark.parametrize("call", ["page", "delete"])
@pytest.mark.parametrize(
    ("body", "verdict", "code", "message"),
    [
        (b'{"error_code":"APIG.0301","error_msg":"no"}', Verdict.UNAUTHORIZED, "APIG.0301", "no"),
        (b'{"code":401,"message":"sign in"}', Verdict.REJECTED, "401", "sign in"),
        (b'{"code":"503","message":"busy","data":null}', Verdict.REJECTED, "503", "busy"),
        (b'{"error_code":"APIGW.0308","error_msg":"slow"}', Verdict.THROTTLED, "APIGW.0308", "slow"),
        (b'{"error":{"code":"SDRS.1013","message":"none"}}', Verdict.GONE, "SDRS.1013", "none"),
        (b'{"error":{"code":"SDRS.0009","message":"no"}}', Verdict.FORBIDDEN, "SDRS.0009", "no"),
        (b'{"badrequest":{"code":"SDRS.0201","message":"bad"}}', Verdict.REJECTED, "SDRS.0201", "bad"),
        (b'{"error":{"code":401,"message":"sign in","title":"Unauthorized"}}', Verdict.REJECTED, "401", "sign in"),
        (b'{"error":"denied"}', Verdict.REJECTED, None, "denied"),
        (b"\xef\xbb\xbf" + b'{"error":{"code":"SDRS.0004","message":"no"}}', Verdict.FORBIDDEN, "SDRS.0004", "no"),
    ],
)
async def test_an_error_under_a_200_is_one(
    call: str, body: bytes, verdict: Verdict, code: str | None, message: str
) -> None:
    """Some gateways answer so: the code decides, and the status is reported as it came."""
    async with _answering(answer(200, body)) as (_, client):
        reply = await client.send(CALLS[call], LONG)
    assert (reply.verdict, reply.status_code, reply.error_code, reply.message) == (verdict, 200, code, message)


async def test_a_list_of_failed_tasks_is_no_error() -> None:
    """Its items have codes and errors of their own."""
    body = b'{"count":1,"failure_jobs":[{"job_id":"a","error_code":"EVS.2024","error":"x"}]}'
    assert (await _reply(200, body)).verdict is Verdict.READ


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        (b"<html><title>Sign in</ti", Verdict.REJECTED),
        (b"", Verdict.REJECTED),
        (b"{", Verdict.DELETED),
    ],
)
@pytest.mark.parametrize("slow", [False, True])
async def test_of_a_body_that_is_cut_off_or_too_slow_what_came_decides(
    sent: bytes, verdict: Verdict, slow: bool
) -> None:
    """A page for a browser is known by its beginning, and before that by its type; else the status line is enough."""

    async def handler(connection: Connection, head: bytes) -> bytes | None:
        await connection.send(answer(200, sent, HTML, length=10**6))
        if slow:
            await connection.until_closed()
        return None

    async with (
        serving(handler) as server,
        Client(server.url, StaticToken("a-token"), limits=Limits(), retry=RetryPolicy()) as client,
    ):
        reply = await client.send(CALLS["delete"], 0.3 if slow else LONG)
        assert (reply.verdict, reply.status_code, reply.timed_out) == (verdict, 200, False)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("status", [204, 404])
async def test_an_empty_body_is_not_unpacked(encoding: str, status: int) -> None:
    """A head may name a packing where there is no body."""
    reply = await _reply(status, b"", f"Content-Encoding: {encoding}")
    assert reply.status_code == status


@pytest.mark.parametrize(("size", "verdict"), [(8 * MIB, Verdict.READ), (8 * MIB + 1, Verdict.REJECTED)])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_page_is_at_most_8_mib_unpacked(size: int, verdict: Verdict, packed: bool) -> None:
    """One byte more is refused for good: it would be the same at another try."""
    body = b'{"a":"' + b"x" * (size - 8) + b'"}'
    reply = await _reply(200, gzip.compress(body) if packed else body, *["Content-Encoding: gzip"] * packed)
    assert reply.verdict is verdict
    assert reply.message == ("" if verdict is Verdict.READ else TOO_LONG)


async def test_an_error_body_is_64_kib_unpacked() -> None:
    """What stands behind that is not read, packed or not."""
    body = b'{"pad":"' + b" " * (64 << 10) + b'","code":"SDRS.1013"}'
    assert (await _reply(400, body)).error_code is None
    assert (await _reply(400, gzip.compress(body), "Content-Encoding: gzip")).error_code is None
    assert len(await unpacked(gzip.compress(b"a" * 50 * MIB), "gzip", 64 << 10)) < 3 * MIB


async def test_parts_of_gzip_are_bounded() -> None:
    """All of them together as one, and how many there are."""
    part = gzip.compress(b"a" * MIB)
    assert 2 * MIB < len(await unpacked(part * 50, "gzip", 2 * MIB)) <= 3 * MIB
    assert await unpacked(gzip.compress(b"a") * 99, "gzip", MIB) == b"a" * 99
    with pytest.raises(Unreadable, match="in more than 100 parts"):
        await unpacked(gzip.compress(b"") * 101, "gzip", MIB)
    assert await unpacked(part + part[:20], "gzip", 2 * MIB) == b"a" * MIB  # cut off


BOMBS = """
import asyncio, resource, sys, zlib
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.cloud.client import Client
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Listing, Target
from tests.support.raw_server import answer, serving

def bomb(header):
    stream = zlib.compressobj(9, wbits=-15)
    mebibyte = stream.compress(bytes(1 << 20)) + stream.flush(zlib.Z_FULL_FLUSH)  # repeatable
    return header + mebibyte * 1024

BOMBS = [
    ("gzip", bomb(b"\\x1f\\x8b\\x08" + bytes(6) + b"\\x03")),
    ("deflate", bomb(b"\\x78\\x9c")),
    ("deflate", bomb(b"")),
]

async def main():
    async def handler(connection, head):
        name, body = BOMBS[len(server.arrivals) % 3]
        return answer(200 if head.startswith(b"GET") else 500, body, f"Content-Encoding: {name}")
    async with serving(handler) as server:
        async with Client(server.url, StaticToken("t"), limits=Limits(), retry=RetryPolicy()) as client:
            await client.send(Target("p1", "g1"), 60)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(3):
                print((await client.send(Listing("/v1/p1/server-groups", "", "p1"), 60)).message)
                await client.send(Target("p1", "g1"), 60)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)

asyncio.run(main())
"""


def test_a_bomb_takes_little_memory() -> None:
    """A gibibyte of zeros in a mebibyte, packed in each way: refused, in memory of a few pages."""
    done = subprocess.run([sys.executable, "-c", BOMBS], capture_output=True, text=True, check=True, timeout=110)
    *messages, mebibytes = done.stdout.split("\n")[:-1]
    assert messages == [TOO_LONG] * 3
    assert int(mebibytes) < 100


async def test_unpacking_lets_the_loop_go_on() -> None:
    """Between one mebibyte and the next others have their turn."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert len(await unpacked(gzip.compress(bytes(8 * MIB)), "gzip", 8 * MIB)) == 8 * MIB
    counting.cancel()
    await asyncio.wait([counting])
    assert turns >= 8


# ---- parsing


def _listed(item: bytes, most: int) -> bytes:
    """A page that holds an item as often as it may, in at most 8 MiB."""
    return b'{"a":[' + b",".join([item] * min(most, (8 * MIB - 9) // (len(item) + 1))) + b"]}"


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a million empty objects": lambda: _listed(b"{}", 10**6),
    "four million numbers": lambda: _listed(b"1", 4 * 10**6),
    "lists in lists": lambda: _listed(b"[" * 400 + b"]" * 400, 10**6),
    "nothing but opening": lambda: b"[" * 8 * MIB,
    "objects in objects": lambda: b'{"a":' * (MIB + MIB // 2),
    "digits": lambda: b'{"a":' + b"9" * (8 * MIB - 6) + b"}",
    "numbers of 4300 digits": lambda: _listed(b"9" * 4300, 10**6),
    "numbers of 21 digits": lambda: _listed(b"9" * 21, 10**6),
    "escapes": lambda: b'{"a":"' + b"a\\n" * (2 * MIB + MIB // 2) + b'"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_hold_the_loop_is_no_page(name: str) -> None:
    """It is refused before, or where, it would take long."""
    with pytest.raises(ValueError, match="answer "):
        _value(HOSTILE[name]())


def _item(number: int) -> dict[str, object]:
    """30 fields, four of them with fields of their own."""
    nested = {"name": "eu-de\\01", "n": number, "share": 0.5}
    return {f"field_{n}": nested if n % 10 == 0 else "x" * 40 for n in range(30)}


HONEST = json.dumps({"server_groups": [_item(number) for number in range(999)], "count": 999}).encode()
WIDE = b"\xf0\x9f\x98\x80a"  # makes four bytes of each character of its string
# Each is close to the largest page of its kind that is let through; `more`: how much larger a page is made than that.
SLOWEST: dict[str, Callable[[float], bytes]] = {
    "fractions": lambda more: _listed(b"2.4703282292062327e-324", int(more * 79_000)),
    "numbers": lambda more: _listed(b"9" * 20, int(more * 79_000)),
    "keys": lambda more: b'{"a":{' + b",".join(b'"%d":1' % n for n in range(int(more * 84_000))) + b"}}",
    "wide keys": lambda more: (
        b'{"a":{' + b",".join(b'"%d\\u4e2d":"\\u4e2d%s"' % (n, b"x" * 130) for n in range(int(more * 48_000))) + b"}}"
    ),
    "wider keys": lambda more: (
        b'{"a":{' + b",".join(b'"%d%b":"%b"' % (n, WIDE, WIDE * 25) for n in range(int(more * 50_000))) + b"}}"
    ),
    "escapes": lambda more: b'{"a":"' + b"a\\n" * int(more * 1_250_000) + WIDE * (800_000 - 50_000) + b'"}',
    "strings of commas": lambda more: _listed(b'"' + b"," * 140 + b'"', int(more * 50_000)),
    "strings of quotes": lambda more: _listed(b'"' + b'\\",' * 36 + b'"', int(more * 28_000)),
    "empty strings": lambda more: _listed(b'""', int(more * 84_000)),
    "one string": lambda more: b'{"a":"' + WIDE * int(more * (MIB + MIB // 2)) + b'"}',
    "small objects": lambda more: _listed(b'{"a":1}', int(more * 42_000)),
}


def _value(body: bytes) -> Any:
    """What a page is."""
    parsing = parse_page(body)
    while True:
        try:
            parsing.send(None)
        except StopIteration as end:
            return end.value


def _made(value: Any) -> int:
    """How many values and keys have been made for a page."""
    if isinstance(value, dict):
        return 1 + sum(1 + _made(each) for each in value.values())
    return 1 + sum(map(_made, value)) if isinstance(value, list) else 1


@pytest.mark.parametrize("name", SLOWEST)
def test_the_worst_that_passes_is_a_few_honest_pages(name: str) -> None:
    """Nothing that is let through is more than three full pages of 999 items; half as much again is refused."""
    body = SLOWEST[name](1.0)
    assert len(body) <= 8 * MIB
    assert _made(_value(body)) <= 3 * _made(_value(HONEST))
    if len(more := SLOWEST[name](1.5)) <= 8 * MIB:  # longer ones are not read to their end
        with pytest.raises(Unreadable):
            _value(more)


def test_no_honest_page_comes_near_the_bounds() -> None:
    """999 items of 30 fields are a page, more than the service lists of a group or project."""
    page = _value(HONEST)
    assert isinstance(page, dict)
    assert (len(page["server_groups"]), page["count"]) == (999, 999)


def _full(key: str, count: int = 999, **fields: Any) -> dict[str, object]:
    item = {f"field_{n}": f"value {n}" for n in range(20)} if count == 999 else {}
    return {key: [{**item, **fields, "id": f"{n:032x}"} for n in range(count)], "count": count}


SENTENCE = (
    "Protects web, db, cache, queue, and search; owner: team a, b, c, d; see wiki, page 7, item 3, rev 2, and mail."
)
MORE: dict[str, Any] = {f"more_{n}": "x" for n in range(20)}
TAGS = [{"key": f"k{n}", "value": "v"} for n in range(10)]
IAM = {"domain_id": "a" * 32, "is_domain": False, "parent_id": "a" * 32, "name": "eu-de_x", "enabled": True}
LARGE = {
    "commas in descriptions": _full("server_groups", description=SENTENCE * 5, **MORE),
    "nothing but commas": _full("server_groups", description=",[" * 90),
    "tags": _full("server_groups", tags=TAGS),
    "Chinese": _full("failure_jobs", fail_reason="保护组创建失败请检查源可用区和目标可用区的存储资源是否充足。" * 11),
    "JSON in JSON": _full("failure_jobs", fail_reason=json.dumps([{"a": "\\"}, {"b": [1, 2]}] * 25)),
    "6,000 projects": _full("projects", 6000, **IAM, description="", links={"self": "https://iam/v3/projects/x"}),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_a_service_has_reason_to_send_is_read(name: str) -> None:
    """However long its texts are, whatever stands in them, and however they are written."""
    for is_ascii in (True, False):
        assert _value(json.dumps(LARGE[name], ensure_ascii=is_ascii).encode()) == LARGE[name]


async def test_a_page_that_is_too_large_is_not_asked_for_again() -> None:
    """It would be the same: the reply is final, and says what it is."""
    reply = await _reply(200, _listed(b"{}", 200_000))
    assert (reply.verdict, reply.status_code) == (Verdict.REJECTED, 200)
    assert reply.message.startswith("the service's answer is larger than any list should be, and was not read: 400,0")
    with pytest.raises(Unreadable, match="8,388,607 values, 0 escapes, "):
        _value(b"," * (8 * MIB - 1))


def test_a_fraction_is_not_a_number() -> None:
    """No field of a list is one, and to convert the worst of them takes long: an id that is one is none."""
    page = _value(b'{"id":2.5,"n":-12,"big":1e3,"none":null}')
    assert isinstance(page, dict)
    assert math.isnan(page["id"])
    assert math.isnan(page["big"])
    assert (page["n"], page["none"]) == (-12, None)


@pytest.mark.parametrize("body", [b"", b"\xff", b"<html>", b'{"a":1', b'{"a":NaNN}', b"\xef\xbb\xbf{"])
def test_what_is_no_json_is_no_page(body: bytes) -> None:
    """It says so."""
    with pytest.raises(ValueError, match="the answer is no JSON object"):
        _value(body)
