"""Blocking work in threads that nothing waits for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from sdrs_async.transport.threads import in_daemon_thread, room
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


class Blocker:
    """Work that stands still until it is released; says when it has begun and ended."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.thread: threading.Thread | None = None

    def work(self, error: BaseException | None = None) -> str:
        """Wait, then return or raise."""
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.release.wait(20)
        if error is not None:
            raise error
        return "done"


async def test_the_result_comes_back() -> None:
    """The function gets its arguments and runs beside the event loop."""
    assert await in_daemon_thread(room(), divmod, 7, 3) == (2, 1)
    assert await in_daemon_thread(room(), threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(2), TimeoutError()])
async def test_an_exception_comes_back(error: BaseException) -> None:
    """Whatever the function raises is raised where it is awaited; the very same object."""

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await in_daemon_thread(room(), fail)
    assert caught.value is error


async def test_a_stop_iteration_does_not_hang() -> None:
    """The one exception that a future refuses and a coroutine changes still ends the wait."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_daemon_thread(room(), next, iter(()))


async def test_the_loop_goes_on_meanwhile() -> None:
    """Work that stands still holds up nothing else."""
    blocker = Blocker()
    task = asyncio.create_task(in_daemon_thread(room(), blocker.work))
    await until(blocker.begun.is_set)
    assert not task.done()
    blocker.release.set()
    assert await task == "done"


@pytest.mark.parametrize("error", [None, ValueError("nobody hears this")])
async def test_cancelling_abandons_the_thread(error: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait ends while the work still stands, and what comes of it later is dropped without a word."""
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    blocker = Blocker()
    task = asyncio.create_task(in_daemon_thread(room(), blocker.work, error))
    await until(blocker.begun.is_set)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert blocker.thread is not None
    assert blocker.thread.is_alive()
    blocker.release.set()
    await until(lambda: not blocker.thread.is_alive() if blocker.thread else False)
    await asyncio.sleep(0)  # the loop now runs what the thread left for it
    assert said == []


def test_a_thread_that_outlives_its_loop_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is closed when the work ends: no traceback of the thread."""
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    blocker = Blocker()

    async def abandon() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await in_daemon_thread(room(), blocker.work)

    asyncio.run(abandon())
    blocker.release.set()
    assert blocker.begun.wait(20)
    assert blocker.thread is not None
    blocker.thread.join(20)
    assert not blocker.thread.is_alive()
    assert said == []


def test_an_abandoned_thread_does_not_hold_the_interpreter() -> None:
    """A process whose work never ends is over as soon as its own code is."""
    code = (
        "import asyncio, threading\n"
        "from sdrs_async.transport.threads import in_daemon_thread, room\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.01):\n"
        "            await in_daemon_thread(room(), threading.Event().wait)\n"
        "    except TimeoutError:\n"
        "        print('over')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("over\n", "")
