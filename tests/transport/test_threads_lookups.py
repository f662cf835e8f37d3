"""Names are looked up in threads that hold nothing up."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdrs_async.cloud.client import Client
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Listing, Reply, Target, Verdict
from sdrs_async.transport import threads
from sdrs_async.transport.threads import Lookups, room
from tests.support.raw_server import Connection, answer, serving
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

LONG = 60.0


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A name server that never answers, until the test is over; the names that were asked for."""
    asked: list[str] = []
    over = threading.Event()

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        assert over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "over")

    monkeypatch.setattr(threads, "_ROOM", room())
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    over.set()


def _client(url: str = "https://sdrs.test", *, timeout: float = LONG, **options: Any) -> Client:
    return Client(url, StaticToken("t"), limits=Limits(), retry=RetryPolicy(timeout=timeout), **options)


async def test_a_name_is_looked_up() -> None:
    """`localhost` is a name, too, and its server gets the request."""

    async def handler(connection: Connection, head: bytes) -> bytes:
        return answer()

    async with serving(handler) as server, _client(f"http://localhost:{server.port}") as client:
        assert (await client.send(Target("p1", "g1"), LONG)).verdict is Verdict.DELETED


async def test_addresses_are_as_aiohttp_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either family, with the scope without which a link-local one is nothing."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 443, 0, 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    results = await Lookups(1).resolve("sdrs.test", 443)
    assert [result["host"].partition("%")[0] for result in results] == ["192.0.2.1", "2001:db8::1", "fe80::1"]
    assert "%" in results[2]["host"]
    assert {(result["hostname"], result["port"]) for result in results} == {("sdrs.test", 443)}


async def test_a_name_that_is_not_known_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the system says of it; nothing was sent."""

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with _client() as client:
        reply = await client.send(Target("p1", "g1"), LONG)
    assert (reply.verdict, reply.lost, reply.timed_out) == (Verdict.UNREACHABLE, False, False)
    assert "Name or service not known" in reply.message
    assert "sdrs.test" in reply.message


async def _replies(client: Client, count: int) -> list[Reply]:
    async with client:
        return await asyncio.gather(*(client.send(Target("p1", f"g{n}"), LONG) for n in range(count)))


async def test_a_silent_name_server_is_named(silent: list[str]) -> None:
    """Within the time for connecting; not as if the service itself had not answered. Equal look-ups are one."""
    replies = await _replies(_client(timeout=0.05), 20)
    assert silent == ["sdrs.test"]
    for reply in replies:
        assert (reply.verdict, reply.retryable, reply.lost) == (Verdict.UNREACHABLE, True, False)
        assert not reply.timed_out
        assert "the name was not looked up within 0.05 s" in reply.message


@pytest.mark.parametrize("way", ["direct", "proxy", "iam"])
async def test_every_way_out_is_bounded(way: str, silent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Service, proxy and IAM are looked up alike."""
    if way == "proxy":
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    call = Listing("", "projects", at_iam=True) if way == "iam" else Target("p1", "g1")
    async with _client(timeout=0.05, iam_endpoint="https://iam.test") as client:
        reply = await client.send(call, LONG)
    assert silent == [{"direct": "sdrs.test", "proxy": "proxy.test", "iam": "iam.test"}[way]]
    assert "the name was not looked up within 0.05 s" in reply.message


async def test_a_full_room_says_so(silent: list[str]) -> None:
    """Sixteen look-ups that never came back: the next one waits for its time, and fails with the reason."""
    for _ in range(16):
        (reply,) = await _replies(_client(timeout=0.001), 1)
        assert "the name was not looked up" in reply.message
    (reply,) = await _replies(_client(timeout=0.01), 1)
    assert "names cannot be looked up: too many look-ups have not come back within 0.01 s" in reply.message
    assert (reply.timed_out, reply.lost) == (False, False)
    assert len(silent) == 16


async def test_a_fleet_of_many_names_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """More names at once than there is room for: the others wait until some have come back, and no try is lost."""
    real, full, waiting = socket.getaddrinfo, threading.Barrier(17), []

    def getaddrinfo(host: str, *rest: Any, **more: Any) -> list[Any]:
        waiting.append(host)
        if len(waiting) <= 16:
            full.wait(20)
        return real("127.0.0.1", *rest, **more)

    async def handler(connection: Connection, head: bytes) -> bytes:
        return answer()

    async def one(number: int) -> Reply:
        url = f"http://sdrs-{number}.test:{server.port}"
        return (await _replies(_client(url, allow_http=True), 1))[0]

    monkeypatch.setattr(threads, "_ROOM", room())
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with serving(handler) as server, asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(one(number)) for number in range(40)]
        await until(lambda: len(waiting) == 16)
        await asyncio.sleep(0)  # the others have found the room full
        full.wait(20)
    assert [task.result().verdict for task in asked] == [Verdict.DELETED] * 40
    assert len(waiting) == 40


CHILD = """
import asyncio, os, signal, socket, sys, threading
from sdrs_async import StaticToken, clean

asked = threading.Event()
def getaddrinfo(*_, **__):
    asked.set()
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo

async def main():
    task = asyncio.create_task(clean([("p1", "g1")], endpoint="https://sdrs.test", auth=StaticToken("t")))
    while not asked.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    print("cancelled" if task.cancelled() else task.result(), flush=True)

asyncio.run(main())
"""


def test_a_silent_name_server_delays_no_exit() -> None:
    """A run that is cancelled ends with its process, though the look-up never does."""
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == ("cancelled\n", "")


COMMAND = """
import runpy, socket, sys, threading

def getaddrinfo(*_, **__):
    print("asked", flush=True)
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo
sys.argv[0] = "sdrs-async"
runpy.run_module("sdrs_async", run_name="__main__")
"""


def test_a_silent_name_server_delays_no_second_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends at the second SIGINT, with its report."""
    monkeypatch.setenv("OS_TOKEN", "t")
    targets = tmp_path / "targets.csv"
    targets.write_text(f"project_id,server_group_id\n{'0' * 32},decf224d-87fe-403a-8721-037a1a45c287\n")
    files = ["--targets", str(targets), "--json", str(tmp_path / "report.json")]
    command = [sys.executable, "-c", COMMAND, "clean", *files, "--endpoint", "https://sdrs.test", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        while "interrupted" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert (tmp_path / "report.json").exists()
