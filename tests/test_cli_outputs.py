"""The files of a run: what is checked before, and what is left behind when writing fails."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TextIO

import pytest

from sdrs_async.auth import StaticToken
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.connecting import Connection, Pending
from sdrs_async.command.documents import Document
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.results import FailureFile, ResultsFile
from sdrs_async.command.spool import Spool
from sdrs_async.errors import ConfigError
from sdrs_async.models import Outcome, RetryPolicy, Target, Verdict
from sdrs_async.simulator import Fault, Simulator
from tests.command import report, texts

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
            spooled.fill(Target(*target) for target in simulator.targets)
            outputs = Outputs(json=str(tmp_path / "report.json"), results=str(tmp_path / "results"))
            ending = await Cleanup(connection, spooled, outputs).run()
    document = report(tmp_path)
    assert ending.exit_code == 2
    assert (document["error"], document["failures_omitted"]) == ("failures cannot be kept", 0)
    assert 0 < document["targets"]["failed"] < document["targets"]["planned"] == 60
    assert len(texts(tmp_path)["results"].splitlines()) == document["targets"]["failed"]
    assert capsys.readouterr().err.count("error: failures cannot be kept") == 1
