"""Interrupting the command, and talking to it on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from sdrs_async.command.streams import waiting
from sdrs_async.simulator import Fault, Simulator
from tests.support.command import arguments, finished, process, report, texts, until

SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "hung up")]


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS, ids=["SIGINT", "SIGTERM", "SIGHUP"])
async def test_the_first_signal_lets_requests_on_the_wire_finish(
    tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    """Nothing new starts, what was sent gets its answer, the rest is unsettled, everything is written: 130 or 143.

    There are more targets than are read ahead: those that were never read are counted too.
    """
    files = ["--results", str(tmp_path / "results"), "--html", str(tmp_path / "page"), "--concurrency", "4"]
    async with Simulator(projects=4, groups=3000, latency=0.3) as simulator:
        async with process(*arguments(tmp_path, simulator, *files), token=simulator.token) as command:
            await until(lambda: len(simulator.log) >= 4)
            command.send_signal(number)
            done = await finished(command)
        assert done.code == code
        assert f"{word}: nothing new is started, requests on the wire get 3 s for their answer" in done.stderr
        again = "press Ctrl-C again to end at once" if number == signal.SIGINT else "a second signal ends at once"
        assert again in done.stderr
        targets = report(tmp_path)["targets"]
        assert targets["planned"] == 12_000
        assert targets["done"] == len(simulator.log) == 12_000 - targets["unsettled"]
        assert [entry.status for entry in simulator.log] == [204] * len(simulator.log)
        assert "12,000 groups in 4 projects" in done.stdout
        written = texts(tmp_path)
        assert len(written["results"].splitlines()) == targets["done"]
        assert "</html>" in written["page"]
        assert sorted(written) == ["page", "report.json", "results", "targets.csv"]


async def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Answers that would come within the grace are given up at the second Ctrl-C; files and summary are there."""
    async with Simulator(projects=2, groups=5, latency=2.0) as simulator:
        async with process(*arguments(tmp_path, simulator), token=simulator.token) as command:
            await until(lambda: len(simulator.log) >= 2)
            command.send_signal(signal.SIGINT)
            assert command.stderr is not None
            assert (await command.stderr.readline()).startswith(b"OS_TOKEN: ")
            assert b"press Ctrl-C again" in await command.stderr.readline()
            command.send_signal(signal.SIGINT)
            done = await finished(command)
        assert done.code == 130
        assert done.stderr.startswith("ending at once\n")
        document = report(tmp_path)
        assert (document["targets"]["planned"], document["targets"]["unsettled"]) == (10, 10)
        assert (document["interrupted"], document["requests"]["sent"]) == (True, len(simulator.log))
        assert "10 groups in 2 projects: " in done.stdout


async def test_signals_that_keep_coming_cut_nothing_off(tmp_path: Path) -> None:
    """However often Ctrl-C is pressed before the summary is there: files and summary are complete, exit code 130."""
    async with Simulator(projects=20, groups=5, latency=0.5) as simulator:
        async with process(*arguments(tmp_path, simulator), token=simulator.token) as command:
            await until(lambda: simulator.log)
            assert command.stdout is not None
            summary = asyncio.create_task(command.stdout.readline())
            while not summary.done():
                command.send_signal(signal.SIGINT)
                await asyncio.sleep(0.002)
            for _ in range(3):
                command.send_signal(signal.SIGINT)
            done = await finished(command)
        assert done.code == 130
        assert (await summary).startswith(b"100 groups in 20 projects: ")
        assert "interrupted before the end (exit code 130)" in " ".join(done.stdout.split())
        assert report(tmp_path)["targets"]["planned"] == 100


@asynccontextmanager
async def started_to_ignore(number: signal.Signals, *args: str, token: str | None = None) -> AsyncIterator[Process]:
    """The command, started by who ignores a signal, as nohup does and a shell that starts something with `&`."""
    async with AsyncExitStack() as stack:
        with ExitStack() as ignored:
            ignored.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
            command = await stack.enter_async_context(process(*args, token=token))
        yield command


@pytest.mark.parametrize("number", [one for one, _, _ in SIGNALS], ids=["SIGINT", "SIGTERM", "SIGHUP"])
async def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    """Under nohup, in the background of a script, the run goes on to its end, whatever happens to the terminal."""
    async with Simulator(projects=2, groups=5, latency=0.2) as simulator, AsyncExitStack() as stack:
        running = started_to_ignore(number, *arguments(tmp_path, simulator), token=simulator.token)
        command = await stack.enter_async_context(running)
        await until(lambda: simulator.log)
        command.send_signal(number)
        done = await finished(command)
    assert (done.code, report(tmp_path)["targets"]["done"]) == (0, 10)
    assert "nothing new is started" not in done.stderr


async def test_a_simulator_in_the_background_outlives_a_ctrl_c() -> None:
    """What a script starts with `&` ignores Ctrl-C, which is meant for another; SIGTERM still ends it well."""
    async with started_to_ignore(signal.SIGINT, "simulate") as command:
        assert command.stdout is not None
        assert (await command.stdout.readline()).startswith(b"http://127.0.0.1:")
        command.send_signal(signal.SIGINT)
        await asyncio.sleep(0.1)
        assert command.returncode is None
        command.send_signal(signal.SIGTERM)
        assert (await finished(command)).code == 0


def test_writing_to_a_slow_reader_ignores_what_is_ignored() -> None:
    """While an output waits for its reader, a signal that the process was started to ignore gives nothing up."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        read, write = os.pipe()
        with open(read, "rb"), open(write, "w", encoding="utf-8") as file:
            with waiting(file, (signal.SIGTERM,)):
                assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


STALLED = [
    pytest.param(
        ["--results", "-"],
        "error: --results: stdout cannot be written any more: nobody reads it",
        signal.SIGINT,
        130,
        id="results",
    ),
    pytest.param(["--html", "-"], "error: stdout cannot be written: nobody reads it", signal.SIGTERM, 2, id="document"),
]
LIFTED = [word for name in ("project-rate", "endpoint-rate") for word in (f"--{name}", "none")]


@pytest.mark.parametrize(("flags", "message", "number", "code"), STALLED)
async def test_a_reader_who_does_not_read_holds_nothing_up(
    tmp_path: Path, flags: list[str], message: str, number: signal.Signals, code: int
) -> None:
    """With a pipe that is full and never read, the second signal ends the wait: files are there.

    A signal that comes when only a document is left to write finds the run at its end: 2, since that was not written.
    """
    read, write = os.pipe()
    faults = [Fault("status", status=405, body={"error_code": "X", "error_msg": "\U0001f600" * 400})]
    async with Simulator(projects=2, groups=100, faults=faults) as simulator:
        async with process(
            *arguments(tmp_path, simulator, *flags, *LIFTED),
            token=simulator.token,
            environ={"TMPDIR": str(tmp_path)},
            stdout=write,
        ) as command:
            await until(lambda: len(simulator.log) == 200 and is_full(write))
            os.close(write)
            assert command.stderr is not None
            command.send_signal(number)
            if "--results" in flags:
                assert (await command.stderr.readline()).startswith(b"OS_TOKEN: ")
                assert b"nothing new is started" in await command.stderr.readline()
                assert command.returncode is None
                command.send_signal(number)
            done = await finished(command)
        os.close(read)
        assert message in done.stderr
        assert done.code == code
        assert report(tmp_path)["targets"]["failed"] == len(report(tmp_path)["failures"]) == 200


def is_full(pipe: int) -> bool:
    """Whether the pipe takes nothing more."""
    return not select.select([], [pipe], [], 0)[1]


async def test_a_slow_reader_gets_every_line(tmp_path: Path) -> None:
    """Lines wait for their reader: one who only begins when all groups have settled still gets them all, whole."""
    read, write = os.pipe()
    faults = [Fault("status", status=405, body={"error_code": "X", "error_msg": "\U0001f600" * 400})]
    async with Simulator(projects=2, groups=100, faults=faults) as simulator:
        args = arguments(tmp_path, simulator, "--results", "-", *LIFTED)
        async with process(*args, token=simulator.token, stdout=write) as command:
            await until(lambda: len(simulator.log) == 200 and is_full(write))
            os.close(write)
            with os.fdopen(read, "rb") as file:
                lines = await asyncio.to_thread(file.readlines)
            done = await finished(command)
    assert done.code == 1
    assert [len(json.loads(line)["message"]) for line in lines] == [400] * 200


async def test_results_are_there_as_groups_settle(tmp_path: Path) -> None:
    """While one project hangs, the lines of the other are in the file already, each of them whole."""
    results = tmp_path / "results"
    hanging = Simulator(projects=2, groups=3).targets[0][0]
    async with Simulator(projects=2, groups=3, faults=[Fault("hang", only=[hanging])]) as simulator:
        async with process(
            *arguments(tmp_path, simulator, "--results", str(results)), token=simulator.token
        ) as command:
            await until(lambda: results.exists() and results.read_text("utf-8").count("\n") == 3)
            assert command.returncode is None
            for number in (signal.SIGTERM, signal.SIGINT):
                command.send_signal(number)
            done = await finished(command)
        # Which of two signals at once is seen first is the system's choice.
        assert done.code in (130, 143)
        lines = [json.loads(line) for line in texts(tmp_path)["results"].splitlines()]
        assert [line["project_id"] for line in lines] == [simulator.targets[-1][0]] * 3


async def test_ctrl_c_while_stdin_is_read_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the run starts: exit code 130, one line, and no request."""
    # A KeyboardInterrupt while coverage holds the lock of its data would leave it locked, and the process hanging.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    async with Simulator() as simulator:
        args = ["clean", "--targets", "-", "--endpoint", simulator.url, "--yes", "--log-level", "debug"]
        async with process(*args, token=simulator.token) as command:
            assert command.stdin is not None
            # More than the pipe and the buffer before it hold: once that is through, the command is reading.
            command.stdin.write(b"\n" * 300_000)
            await command.stdin.drain()
            command.send_signal(signal.SIGINT)
            done = await finished(command)
        assert (done.code, done.stdout) == (130, "")
        assert simulator.log == []


# ---- on a terminal


class Terminal:
    """What a process shows on its terminal, and a keyboard for it."""

    def __init__(self, command: Process, screen: int, shown: bytearray) -> None:
        self.command = command
        self._screen = screen
        self._shown = shown

    @property
    def text(self) -> str:
        """All that was shown so far."""
        return self._shown.decode("utf-8", "replace")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._screen, keys)


@asynccontextmanager
async def on_terminal(*args: str, token: str, stdout: int | None = None) -> AsyncIterator[Terminal]:
    """Start the command with a terminal of 80 columns as its stdin, stderr and, unless it is given, stdout."""
    screen, line = pty.openpty()
    termios.tcsetwinsize(line, (24, 80))
    shown = bytearray()

    def read() -> None:
        with suppress(OSError):  # the other end is closed
            shown.extend(os.read(screen, 65536))

    loop = asyncio.get_running_loop()
    loop.add_reader(screen, read)
    try:
        async with process(*args, token=token, stdin=line, stdout=stdout or line, stderr=line) as command:
            yield Terminal(command, screen, shown)
    finally:
        loop.remove_reader(screen)
        os.close(screen)
        os.close(line)


def without_yes(folder: Path, simulator: Simulator, *more: str) -> list[str]:
    """The arguments of a cleanup that asks."""
    return [arg for arg in arguments(folder, simulator, *more) if arg != "--yes"]


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"no way\n", b"\x04"], ids=["enter", "n", "words", "end of input"])
async def test_without_a_yes_nothing_is_sent(tmp_path: Path, answer: bytes) -> None:
    """The question names extent and host; anything but a yes: nothing is sent or written, exit code 2."""
    async with Simulator(projects=2, groups=3) as simulator:
        async with on_terminal(*without_yes(tmp_path, simulator), token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(answer)
            assert await terminal.command.wait() == 2
            await until(lambda: "not confirmed: nothing was sent" in terminal.text)
            host = simulator.url.removeprefix("http://")
            question = f"Delete the failed tasks of 6 protection groups in 2 projects at {host}? This cannot be undone."
            assert question in terminal.text
        assert simulator.log == []
        assert list(texts(tmp_path)) == ["targets.csv"]


async def test_ctrl_c_at_the_question_is_130(tmp_path: Path) -> None:
    """Ctrl-C instead of an answer: nothing is sent or written, exit code 130."""
    files = ["--results", str(tmp_path / "results"), "--html", str(tmp_path / "page")]
    async with Simulator() as simulator:
        async with on_terminal(*without_yes(tmp_path, simulator, *files), token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            assert len(texts(tmp_path)) == 4  # the places are taken
            terminal.command.send_signal(signal.SIGINT)
            assert await terminal.command.wait() == 130
        assert simulator.log == []
        assert list(texts(tmp_path)) == ["targets.csv"]


async def test_a_yes_starts_the_run_under_a_live_bar(tmp_path: Path) -> None:
    """After a yes the bar shows counts, rate and waits for 429s; log lines and the summary do not break it."""
    faults = [Fault("status", status=429, headers={"Retry-After": "1"}, times=1)]
    async with Simulator(projects=2, groups=1, faults=faults) as simulator:
        args = without_yes(tmp_path, simulator, "--log-level", "debug")
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(b"y\n")
            assert await terminal.command.wait() == 0
            await until(lambda: "wrote " in terminal.text)
        text = terminal.text
        assert "Cleaning" in text
        assert "2 of 2 groups" in text
        assert "waiting 1 s (2 projects throttled: 10/s)" in " ".join(text.split())
        assert "DEBUG sdrs_async: DELETE" in text
        assert "2 groups in 2 projects: 2 deleted" in text
        assert simulator.remaining == 0


async def test_results_on_the_terminal_have_no_bar_among_them(tmp_path: Path) -> None:
    """With `--results -` on a terminal, the lines of results stand alone: no bar is drawn."""
    async with Simulator(projects=2, groups=3) as simulator:
        async with on_terminal(*arguments(tmp_path, simulator, "--results", "-"), token=simulator.token) as terminal:
            assert await terminal.command.wait() == 0
            await until(lambda: "wrote " in terminal.text)
        assert terminal.text.count('"finished_at"') == 6
        assert "Cleaning" not in terminal.text


async def test_the_bar_stays_out_of_a_stdout_that_goes_elsewhere(tmp_path: Path) -> None:
    """With a terminal as stderr and a pipe as stdout, the bar is on the one and only results are in the other."""
    async with Simulator(projects=2, groups=3, latency=0.3) as simulator:
        args = arguments(tmp_path, simulator, "--results", "-")
        async with on_terminal(*args, token=simulator.token, stdout=PIPE) as terminal:
            assert terminal.command.stdout is not None
            stdout = (await terminal.command.stdout.read()).decode()
            assert await terminal.command.wait() == 0
            await until(lambda: "wrote " in terminal.text)
        assert [json.loads(line)["verdict"] for line in stdout.splitlines()] == ["deleted"] * 6
        assert "6 of 6 groups" in terminal.text
        assert "finished_at" not in terminal.text
