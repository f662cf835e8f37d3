"""The files of a run: what is checked before, and what is left behind when writing fails."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import select
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.documents import Document
from sdrs_async.command.endings import Ending
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.results import FailureFile, ResultsFile
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.errors import ConfigError
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Outcome, Target, Verdict
from sdrs_async.simulator import Fault, Simulator
from tests.support.command import arguments, finished, process, report, run, texts, until

FAILED = Outcome(Target("p", "g"), Verdict.CONFLICT, 409, "SDRS.1002", "busy", attempts=5)


def test_checking_changes_nothing(tmp_path: Path) -> None:
    """A check leaves an existing file as it is, makes no new one, and follows a link that leads nowhere yet."""
    old = tmp_path / "old"
    old.write_text("old", "utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "later")
    Outputs(json=str(old), results=str(tmp_path / "new"), html=str(tmp_path / "link")).check()
    assert sorted(os.listdir(tmp_path)) == ["link", "old"]
    assert old.read_text("utf-8") == "old"


def test_two_outputs_cannot_be_one_file(tmp_path: Path) -> None:
    """The same file twice, also through a link, or the file of targets, is refused: one would destroy the other."""
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(ConfigError, match="--json and --html cannot both be"):
        Outputs(json=str(tmp_path / "file"), html=str(tmp_path / "link")).check()
    with pytest.raises(ConfigError, match="--targets and --results cannot both be"):
        Outputs(results=str(tmp_path / "file")).check([("--targets", str(tmp_path / "file"))])
    Outputs(json="-", results=str(tmp_path / "file")).check([("--targets", "-")])
    Outputs(json=os.devnull, results=os.devnull, html=os.devnull).check()


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """A report that breaks off half way is gone, and the one before it is still there."""
    path = tmp_path / "report.json"
    path.write_text("old", "utf-8")

    def write(file: TextIO) -> None:
        file.write("half of")
        raise OSError("disk full")

    with (
        Document("--json", str(path)) as document,
        pytest.raises(ConfigError, match=r"--json: .*report\.json cannot be written: disk full"),
    ):
        document.save(write)
    assert texts(tmp_path) == {"report.json": "old"}


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    """A named pipe stays one: what is written goes through it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    Outputs(json=str(path)).check()
    with Document("--json", str(path)) as document:
        document.save(lambda file: print("report", end="", file=file))
    assert os.read(reader, 100) == b"report"
    os.close(reader)
    assert path.is_fifo()


def test_results_that_cannot_be_opened_are_an_error(tmp_path: Path) -> None:
    """Results whose folder went away after the check are refused before anything is sent."""
    with pytest.raises(ConfigError, match=r"--results: .* cannot be written: No such file"):
        ResultsFile(str(tmp_path / "gone" / "results"))


def test_only_failures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file holds what failed and nothing that is clean, skipped or unsettled; it has no name on disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with FailureFile() as failures:
        for verdict in (Verdict.DELETED, Verdict.GONE, Verdict.SKIPPED, Verdict.UNSETTLED):
            failures.add(Outcome(Target("p", "g"), verdict))
        failures.add(FAILED)
        assert [line["message"] for line in failures] == ["busy"]
        assert os.listdir(tmp_path) == []


def test_no_room_for_failures_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for temporary files the error says what it is for, and how to choose another."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"failures cannot be kept in a temporary file: .*TMPDIR"):
        FailureFile()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_failure_that_finds_no_room_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk shows with the failure that it is too full for, not when the report wants to read it back."""
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115 - the file of failures closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *args, **more: full)
    with FailureFile() as failures, pytest.raises(ConfigError, match=r"--json: failures cannot .*No space left"):
        failures.add(FAILED)


async def test_failures_that_cannot_be_kept_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk for temporary files ends the run gently: the report has what memory holds, and says why; code 2."""

    def fail(failures: FailureFile, outcome: Outcome) -> None:
        raise ConfigError("failures cannot be kept")

    monkeypatch.setattr(FailureFile, "add", fail)
    faults = [Fault("status", status=405)]
    async with Simulator(projects=2, groups=30, latency=0.02, faults=faults) as simulator:
        account = Pending("one", "token", StaticToken(simulator.token), simulator.url)
        connection = Connection([account], RetryPolicy())
        with Spool() as spooled:
            spooled.fill((account.name, Target(*target)) for target in simulator.targets)
            outputs = Outputs(json=str(tmp_path / "report.json"), results=str(tmp_path / "results"))
            ending = await Cleanup(connection, spooled, outputs).run()
    document = report(tmp_path)
    assert ending.exit_code == 2
    assert (document["error"], document["failures_omitted"]) == ("failures cannot be kept", 0)
    assert 0 < document["targets"]["failed"] < document["targets"]["planned"] == 60
    assert len(texts(tmp_path)["results"].splitlines()) == document["targets"]["failed"]
    assert capsys.readouterr().err.count("error: failures cannot be kept") == 1


# ---- what happens to them while a run lasts


async def cleaned(simulator: Simulator, outputs: Outputs, meanwhile: Callable[[], object] = lambda: None) -> Ending:
    """A cleanup of all groups of the simulator; something happens when the first requests are on the wire."""
    account = Pending("one", "token", StaticToken(simulator.token), simulator.url)
    with Spool() as spooled:
        spooled.fill(("one", Target(*target)) for target in simulator.targets)
        cleanup = asyncio.create_task(Cleanup(Connection([account], RetryPolicy()), spooled, outputs).run())
        await until(lambda: simulator.log or cleanup.done())
        meanwhile()
        return await cleanup


@pytest.mark.parametrize("flag", ["json", "results", "html"])
async def test_an_output_that_cannot_be_opened_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    """A place that goes away after the flags were checked is still found before the first request."""
    outputs = Outputs(**{"json": str(tmp_path / "j"), flag: str(tmp_path / "gone" / "x")})
    async with Simulator() as simulator:
        ending = await cleaned(simulator, outputs)
        assert (ending.exit_code, simulator.log) == (2, [])
    assert os.listdir(tmp_path) == []
    assert (
        capsys.readouterr().err == f"error: --{flag}: {tmp_path}/gone/x cannot be written: No such file or directory\n"
    )


GONE = {
    "folder deleted": shutil.rmtree,
    "folder moved": lambda folder: folder.rename(folder.parent / "elsewhere"),
    "a folder in its place": lambda folder: [(folder / name).mkdir() for name in ("report.json", "page")],
}


@pytest.mark.parametrize("happens", GONE.values(), ids=GONE)
async def test_a_place_that_goes_away_takes_no_report_with_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    happens: Callable[[Path], object],
) -> None:
    """What cannot be written where it belongs is kept among the temporary files, whole; the message says where."""
    folder, kept = tmp_path / "folder", tmp_path / "kept"
    for each in (folder, kept):
        os.mkdir(each)
    monkeypatch.setattr(tempfile, "tempdir", str(kept))
    async with Simulator(latency=0.2) as simulator:
        outputs = Outputs(json=str(folder / "report.json"), html=str(folder / "page"))
        ending = await cleaned(simulator, outputs, lambda: happens(folder))
        assert (ending.exit_code, simulator.remaining) == (2, 0)
    page, document = sorted(texts(kept))
    assert "</html>" in texts(kept)[page]
    assert json.loads(texts(kept)[document])["targets"]["done"] == len(simulator.targets)
    shown = capsys.readouterr().err
    for flag, name, where in (("--json", "report.json", document), ("--html", "page", page)):
        assert f"error: {flag}: {folder}/{name} cannot be written: " in shown
        assert f"; it is in {kept}/{where}\n" in shown
    assert [name for _, _, names in os.walk(folder) for name in names] == []


async def test_results_that_somebody_deletes_are_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is told that all is well when the lines of a run went to a file that is no longer there."""
    path = tmp_path / "results"
    async with Simulator(latency=0.2) as simulator:
        ending = await cleaned(simulator, Outputs(results=str(path)), lambda: os.unlink(path))
    assert ending.exit_code == 2
    assert f"error: --results: {path} was deleted meanwhile: what is written to it is lost" in capsys.readouterr().err


async def test_targets_that_cannot_be_counted_cost_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails under the list of targets at the very end is an error, and the report is there."""

    def fail(spooled: Spool) -> None:
        raise ConfigError("the targets cannot be kept")

    async with Simulator() as simulator:
        monkeypatch.setattr(Cleanup, "_count_unread", lambda cleanup, spooled, report: fail(spooled))
        ending = await cleaned(simulator, Outputs(json=str(tmp_path / "report.json")))
    assert [str(mishap) for mishap in ending.mishaps] == ["the targets cannot be kept"]
    assert (ending.exit_code, report(tmp_path)["targets"]["done"]) == (2, len(simulator.targets))


# ---- out of descriptors, out of space


def bounded(what: int, most: int) -> Callable[[], None]:
    """What makes a process that is about to start have no more than that."""
    return lambda: resource.setrlimit(what, (most, most))


async def test_without_descriptors_nothing_is_sent(tmp_path: Path) -> None:
    """One line that says what to do, exit code 2, and no file, whichever of the outputs, or the loop, gets none."""
    files = ["--results", str(tmp_path / "results"), "--html", str(tmp_path / "page")]
    async with Simulator() as simulator:
        for most in (5, 7, 8, 9):
            limit = bounded(resource.RLIMIT_NOFILE, most)
            args = arguments(tmp_path, simulator, *files)
            async with process(*args, token=simulator.token, preexec_fn=limit) as command:
                done = await finished(command)
            assert (done.code, done.stdout, simulator.log) == (2, "", [])
            assert done.stderr.splitlines()[-1].startswith("error: ")
            assert "Too many open files" in done.stderr
            assert "Traceback" not in done.stderr
            assert list(texts(tmp_path)) == ["targets.csv"]


async def test_descriptors_that_run_out_cost_no_report(tmp_path: Path) -> None:
    """A run whose connections take all that there are has its files in the end, complete."""
    files = ["--results", str(tmp_path / "results"), "--html", str(tmp_path / "page"), "--timeout", "2"]
    async with Simulator(projects=20, groups=2, latency=0.3) as simulator:
        limit = bounded(resource.RLIMIT_NOFILE, 24)
        args = arguments(tmp_path, simulator, *files)
        async with process(*args, token=simulator.token, preexec_fn=limit) as command:
            done = await finished(command)
    assert done.code in (0, 5), done
    targets = report(tmp_path)["targets"]
    assert (targets["planned"], targets["unsettled"]) == (40, 0)
    assert len(texts(tmp_path)["results"].splitlines()) == 40
    assert "</html>" in texts(tmp_path)["page"]
    assert sorted(texts(tmp_path)) == ["page", "report.json", "results", "targets.csv"]


async def test_a_limit_of_a_files_size_ends_no_process(tmp_path: Path) -> None:
    """Where the system allows no file of the report's size, that is an error like a full disk, and no signal's end."""
    async with Simulator() as simulator:
        limit = bounded(resource.RLIMIT_FSIZE, 1000)
        args = arguments(tmp_path, simulator, "--quiet")
        environ = {"TMPDIR": str(tmp_path), "COVERAGE_PROCESS_CONFIG": ""}
        async with process(*args, token=simulator.token, environ=environ, preexec_fn=limit) as command:
            done = await finished(command)
    assert done.code == 2
    where = f"nor can it be kept in {tmp_path}: File too large"
    assert done.stderr == f"error: --json: {tmp_path}/report.json cannot be written: File too large; {where}\n"
    assert "deleted" in done.stdout
    assert list(texts(tmp_path)) == ["targets.csv"]


async def test_a_pipe_that_nobody_empties_holds_nothing_up(tmp_path: Path) -> None:
    """A report that goes to a pipe whose reader sleeps is given up at a signal, and kept elsewhere."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    faults = [Fault("status", status=405, body={"error_code": "X", "error_msg": "\U0001f600" * 400})]
    async with Simulator(projects=2, groups=50, faults=faults) as simulator:
        lifted = ["--project-rate", "none", "--endpoint-rate", "none"]
        args = [*arguments(tmp_path, simulator)[:-1], str(pipe), "--html", str(tmp_path / "page"), *lifted]
        environ = {"TMPDIR": str(tmp_path)}
        async with process(*args, token=simulator.token, environ=environ) as command:
            await until(lambda: len(simulator.log) == 100 and is_full(pipe))
            command.send_signal(signal.SIGTERM)
            done = await finished(command)
    os.close(reader)
    assert done.code == 2
    assert f"error: --json: {pipe} cannot be written: nobody reads it; it is in {tmp_path}/pipe." in done.stderr
    (kept,) = (name for name in os.listdir(tmp_path) if name.startswith("pipe."))
    assert len(json.loads((tmp_path / kept).read_text("utf-8"))["failures"]) == 100
    assert "page" in os.listdir(tmp_path)


def is_full(pipe: Path) -> bool:
    """Whether the pipe takes nothing more."""
    end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select([], [end], [], 0)[1]
    finally:
        os.close(end)


async def test_two_runs_cannot_write_one_file_of_results(tmp_path: Path) -> None:
    """The second is refused before anything is sent, exit code 2, and the lines of the first are all there."""
    results = tmp_path / "results"
    async with Simulator(projects=1, groups=900, latency=0.2) as first, Simulator(projects=1, groups=4) as second:
        args = arguments(tmp_path, first, "--results", str(results), "--project-concurrency", "1")
        (tmp_path / "other").mkdir()
        others = arguments(tmp_path / "other", second, "--results", str(results))
        async with process(*args, token=first.token) as command:
            await until(lambda: first.log)
            done = await run(*others, token=second.token)
            command.send_signal(signal.SIGINT)
            assert (await finished(command)).code == 130
    message = f"error: --results: {results} is being written by another run (give another file)\n"
    assert (done.code, done.stderr) == (2, message)
    assert not second.log
    lines = results.read_text("utf-8").splitlines()
    assert [json.loads(line)["endpoint"] for line in lines] == [first.url] * len(first.log)
    assert sorted(os.listdir(tmp_path / "other")) == ["targets.csv"]
