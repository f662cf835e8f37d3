"""Told to stop, a run sends nothing more: on a real clock, at random moments, in every phase, by every way to end it.

How many there are is set by the environment (`tests.support.soak`): `SDRS_SOAK_CANCELS`, and `SDRS_SOAK_SEED` which.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import anyio
import pytest

from sdrs_async import Limits, Report, Request, RetryPolicy, Run, Selection, StaticToken, clean, connect, stream
from sdrs_async.accounts.account import Account
from tests.support.soak import CANCELS, SEED

pytestmark = pytest.mark.soak

LATEST = 0.25  # seconds for what was on its way into the socket at the moment of the cancellation
BEAT = 0.02
GROUPS = [f"decf224d-87fe-403a-8721-{number:012d}" for number in range(300)]
PROJECTS = [f"{number:032x}" for number in range(6)]
SCOPE = b'{"error_code":"APIG.0308","error_msg":"The throttling threshold has been reached: policy user over ratelimit,'


class Clock:
    """Seconds in which the loop ran: they stand still while the machine has no time for it."""

    def __init__(self) -> None:
        self.now = 0.0

    async def go(self) -> None:
        """Beat."""
        while True:
            await asyncio.sleep(BEAT)
            self.now += BEAT

    async def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Do something in so many seconds."""
        begun = self.now
        while self.now < begun + seconds:  # noqa: ASYNC110 - a clock is nothing but that
            await asyncio.sleep(BEAT)
        what()


@dataclass
class Cloud:
    """Answers as the token of a request says (`phase-number`), and keeps when each token came."""

    url: str = ""
    clock: Clock = field(default_factory=Clock)
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    arrived: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more connection."""
        self.connections.add(asyncio.ensure_future(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on a connection, until that is closed."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                token = re.search(r"(?i)x-auth-token: (\S+)", head)
                name = token[1] if token else ""
                self.arrived[name].append(self.clock.now)
                answer, seconds = self.answer(name.partition("-")[0], head, len(self.arrived[name]))
                await asyncio.sleep(seconds)
                writer.write(answer)
                await writer.drain()

    def answer(self, phase: str, head: str, nth: int) -> tuple[bytes, float]:
        """What comes back to the nth request of a run, and after how long."""
        path = head.split()[1]
        if path.startswith("/v3/auth/projects"):
            return _json({"projects": [{"id": one, "name": "eu-de"} for one in PROJECTS], "links": {}}), 0.05
        if path.startswith("/sign-in"):
            return b"HTTP/1.1 204 No Content\r\n\r\n", 0.05
        if "/server-groups" in path:
            return _json({"count": len(GROUPS), "server_groups": [{"id": one} for one in GROUPS]}), 0.3
        if phase == "hold" and nth % 7 == 3:
            body = SCOPE + b'limit:20,time:1 second"}'
            return b"HTTP/1.1 429 Slow\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), 0.005
        if phase == "backoff" and nth % 2:
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 0.005
        return b"HTTP/1.1 204 No Content\r\n\r\n", 1.5 if phase == "drain" else 0.005


def _json(data: object) -> bytes:
    body = json.dumps(data).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@contextlib.asynccontextmanager
async def cloud() -> AsyncIterator[Cloud]:
    """A server on loopback."""
    made = Cloud()
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    made.connections.add(asyncio.ensure_future(made.clock.go()))
    async with server:
        yield made
    for task in made.connections:
        task.cancel()
    await asyncio.wait(made.connections)


class SigningIn(StaticToken):
    """A token that takes a request to each project's sign-in."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(token)
        self._port = int(url.rpartition(":")[2])
        self._token = token

    async def prepare(self, project_id: str) -> float:
        """Sign in, by two requests one after the other."""
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(f"GET /sign-in HTTP/1.1\r\nX-Auth-Token: {self._token}\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
        return 0.4

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Never."""
        return False

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """As a token does."""
        return await super().sign(request, project_id)


def account(url: str, name: str) -> Account:
    """The account of a run: rates that arm timers, in each of its phases."""
    auth = SigningIn(url, name) if name.startswith("signin") else StaticToken(name)
    return Account(name, url, auth, iam_endpoint=url, limits=Limits("20/s", 8, None, None, None))


def targets(name: str) -> Selection | dict[str, list[str]]:
    """What a run cleans: more than it can in its time, but for the one that is closing."""
    if name.startswith("listing"):
        return Selection()
    if name.startswith("closing"):
        return {project: GROUPS[: 10 + 2 * (int(name.rpartition("-")[2]) % 20)] for project in PROJECTS}
    return dict.fromkeys(PROJECTS, GROUPS)


RETRY = RetryPolicy(base=0.3)


async def by_clean(server: Cloud, name: str, told: Callable[[], None]) -> None:
    """`clean()`, in a task that is cancelled."""
    url = server.url
    one = account(url, name)
    await clean(targets(name), endpoint=url, auth=one.auth, limits=one.limits, retry=RETRY, iam_endpoint=url)


async def by_session(server: Cloud, name: str, told: Callable[[], None]) -> None:
    """A session's `clean()`, twice."""
    async with connect(account(server.url, name), concurrency=32, retry=RETRY) as session:
        await session.clean(targets(name))
        await session.clean(targets(name))


async def by_stream(server: Cloud, name: str, told: Callable[[], None]) -> None:
    """An iteration, in a task that is cancelled; one that drains was stopped before."""
    url = server.url
    one = account(url, name)
    async with stream(
        targets(name), endpoint=url, auth=one.auth, limits=one.limits, retry=RETRY, iam_endpoint=url
    ) as run:
        if name.startswith("drain"):
            asyncio.get_running_loop().call_later(0.2, run.stop, 5.0)
        async for _ in run:
            pass


def leaving(how: str) -> Callable[[Cloud, str, Callable[[], None]], Coroutine[Any, Any, None]]:
    """An iteration that is left by `break`, or by an error, when its time has come."""

    async def run_until(server: Cloud, name: str, told: Callable[[], None]) -> None:
        url = server.url
        one, end = account(url, name), server.clock.now + Random(name).uniform(0, 3)
        async with stream(
            targets(name), endpoint=url, auth=one.auth, limits=one.limits, retry=RETRY, iam_endpoint=url
        ) as run:
            async for _ in run:
                if server.clock.now > end:
                    told()
                    if how == "break":
                        break
                    raise LookupError

    return run_until


WAYS = (by_clean, by_session, by_stream, leaving("break"), leaving("raise"))


async def end(
    work: Coroutine[Any, Any, None], how: str, seconds: float, clock: Clock, told: Callable[[], None]
) -> None:
    """Let work go on for so many seconds and end it."""
    loop = asyncio.get_running_loop()
    if how == "wait_for":
        loop.call_later(seconds, told)
        await asyncio.wait_for(work, seconds)
        return
    async with asyncio.timeout(None) as time_out:
        with anyio.CancelScope() as scope:
            task = asyncio.ensure_future(work) if how == "cancel" else None
            ways: dict[str, Callable[[], object]] = {
                "timeout": lambda: time_out.reschedule(loop.time()),
                "scope": scope.cancel,
                "cancel": lambda: task is not None and task.cancel(),
            }

            def stop() -> None:
                told()
                ways[how]()

            timer = asyncio.ensure_future(clock.after(seconds, stop))
            try:
                await (work if task is None else task)
            finally:
                timer.cancel()


@pytest.mark.parametrize("phase", ["paced", "signin", "listing", "hold", "backoff", "drain", "closing"])
async def test_nothing_is_sent_after_a_cancellation(phase: str) -> None:
    """However a run is ended, it ends within 2 s, and the server sees nothing of it 0.25 s later or after that."""
    rng = Random(f"{SEED}{phase}")
    count = -(-CANCELS // 7)
    ended: dict[str, float] = {}
    async with cloud() as server:
        clock = server.clock

        async def one(number: int) -> None:
            name = f"{phase}-{number}"
            way, seconds = rng.choice(WAYS), rng.uniform(0, 3)
            how = rng.choice(["cancel", "timeout", "wait_for", "scope"])

            def told() -> None:
                ended.setdefault(name, clock.now)

            with contextlib.suppress(asyncio.CancelledError, TimeoutError, LookupError):
                await end(way(server, name, told), how, seconds, clock, told)
            told()
            assert clock.now < ended[name] + 2, f"{name}: {way} by {how} at {seconds}"

        for begin in range(0, count, 10):
            before = asyncio.all_tasks()
            async with asyncio.TaskGroup() as tasks:
                for number in range(begin, min(begin + 10, count)):
                    tasks.create_task(one(number))
            await clock.after(0.6, lambda: None)
            assert not asyncio.all_tasks() - before - server.connections
    late = {name: [at - ended[name] for at in times] for name, times in server.arrived.items()}
    assert not {name: max(times) for name, times in late.items() if max(times) > LATEST}
    assert sum(map(len, late.values())) > 4 * count  # there was something to end


@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_nothing_is_sent_while_the_cancelled_one_cleans_up(how: str) -> None:
    """The block is not left yet, but its task was told to stop: that is the first sign of it."""
    async with cloud() as server:
        ended: list[float] = []

        async def work() -> None:
            one = account(server.url, "paced-4")
            async with stream(targets("paced"), endpoint=server.url, auth=one.auth, limits=one.limits) as run:
                try:
                    async for _ in run:
                        pass
                finally:
                    ended.append(server.clock.now)
                    await server.clock.after(1.0, lambda: None)

        with contextlib.suppress(asyncio.CancelledError, TimeoutError):
            await end(work(), how, 0.5, server.clock, lambda: None)
        assert max(server.arrived["paced-4"]) < ended[0] + LATEST


@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
async def test_a_time_out_around_one_outcome_ends_nothing(kind: str) -> None:
    """It has made its cancellation good: the run goes on to its end."""
    async with cloud() as server:
        some = {PROJECTS[0]: GROUPS[:30]}
        limits, taken = Limits("20/s", 8, None, None, None), 0
        async with stream(some, endpoint=server.url, auth=StaticToken("paced-5"), limits=limits) as run:
            while taken < 30:
                if kind == "anyio":
                    with anyio.move_on_after(0.02):
                        await anext(run)
                        taken += 1
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await anext(run)
                        taken += 1
        assert run.report.targets["done"] == 30
        assert not run.report.interrupted


async def test_who_goes_on_after_its_cancellation_gets_no_more() -> None:
    """An iteration that swallows it ends, interrupted, and nothing more is sent."""
    async with cloud() as server:
        one, outcomes = account(server.url, "paced-6"), 0

        async def work() -> Report:
            nonlocal outcomes
            async with stream(targets("paced"), endpoint=server.url, auth=one.auth, limits=one.limits) as run:
                while True:
                    try:
                        async for _ in run:
                            outcomes += 1
                        return run.report
                    except asyncio.CancelledError:
                        pass

        task = asyncio.ensure_future(work())
        while outcomes < 50:  # noqa: ASYNC110 - a task beside this one
            await asyncio.sleep(0.01)
        at = server.clock.now
        task.cancel()
        report = await asyncio.wait_for(task, 5)
        assert report.interrupted
        assert max(server.arrived["paced-6"]) < at + LATEST


CHILD = """
import asyncio, sys
from sdrs_async import Limits, StaticToken, clean
targets = {f"{n:032x}": [f"decf224d-87fe-403a-8721-{g:012d}" for g in range(300)] for n in range(40)}
print("ready", flush=True)
limits = Limits("20/s", endpoint_rate=None)
asyncio.run(clean(targets, endpoint=sys.argv[1], auth=StaticToken("paced-0"), limits=limits))
"""


@pytest.mark.parametrize("seconds", [0.3, 0.9])
async def test_nothing_is_sent_after_ctrl_c_under_asyncio_run(seconds: float) -> None:
    """A script with `asyncio.run(clean(...))` ends with KeyboardInterrupt, and sends nothing from then on."""
    async with cloud() as server:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, server.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        await child.stdout.readline()
        while len(server.arrived["paced-0"]) < 20:  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)
        child.send_signal(signal.SIGINT)
        at = server.clock.now
        _, said = await asyncio.wait_for(child.communicate(), 60)
        await server.clock.after(0.3, lambda: None)
        assert max(server.arrived["paced-0"]) < at + LATEST
        assert b"KeyboardInterrupt" in said


# ---- what the cancelled one is told


async def _cancelled(server: Cloud) -> BaseException:
    task = asyncio.ensure_future(by_clean(server, "paced-1", lambda: None))
    while len(server.arrived["paced-1"]) < 100:  # noqa: ASYNC110 - the server is a task beside this one
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_the_cancellation_of_clean_carries_the_report() -> None:
    """What was done before it, and what was not, with the sum that always holds."""
    async with cloud() as server:
        error = await _cancelled(server)
    report = getattr(error, "report", None)
    assert isinstance(report, Report)
    assert report.interrupted
    assert report.targets["done"] > 0
    assert report.targets["unsettled"] > 0


async def test_a_time_out_around_clean_has_the_report_in_its_cause() -> None:
    """`asyncio.timeout` makes a TimeoutError of the cancellation: the report is on that one's cause."""
    async with cloud() as server:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.3):
                await by_clean(server, "paced-2", lambda: None)
    assert isinstance(getattr(caught.value.__cause__, "report", None), Report)


async def test_the_report_of_a_stream_is_there_always() -> None:
    """Before the first outcome, while the run goes on, and after it was left by a cancellation."""
    seen: list[Run] = []

    async def work(url: str) -> None:
        one = account(url, "paced-3")
        async with stream(targets("paced"), endpoint=url, auth=one.auth, limits=one.limits) as run:
            seen.append(run)
            assert run.report.targets["planned"] == 0
            async for _ in run:
                pass

    async with cloud() as server:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(work(server.url), 0.3)
    report = seen[0].report
    assert report.interrupted
    assert report.targets["planned"] == sum(report.targets[key] for key in ("done", "unsettled"))
