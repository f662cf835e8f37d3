"""How a command ends that meets a defect: exit code 1, one line, no secret, and everything written as ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest
from anyio.from_thread import start_blocking_portal
from typer.testing import CliRunner, Result

from sdrs_async.accounts.connecting import Connection
from sdrs_async.command import checks, finding
from sdrs_async.command.app import app
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.endings import Ending, as_error
from sdrs_async.command.results import FailureFile, ResultsFile
from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError
from sdrs_async.formats import html
from sdrs_async.report import Ledger, Report
from sdrs_async.run import Run
from sdrs_async.session import Session
from sdrs_async.simulator import Simulator
from tests.support.command import arguments, report, texts

SECRET = "hunter2"


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A server in a thread of its own, since the command has this one; the environment has the credential."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        server = stack.enter_context(portal.wrap_async_context_manager(Simulator(projects=2, groups=3)))
        monkeypatch.setenv("OS_TOKEN", server.token)
        yield server


def invoke(*args: str) -> Result:
    """Run the command inside this process; what it does not handle comes out."""
    return CliRunner().invoke(app, args, catch_exceptions=False)


def fail(*args: object, **more: object) -> NoReturn:
    """A bug, whose text holds what nobody may see."""
    raise RuntimeError(SECRET)


async def fail_late(*args: object, **more: object) -> None:
    """A bug in a task."""
    fail()


def stuck(run: Run) -> None:
    """What the library raises when a run does not move any more."""
    raise SdrsError("defect: nothing moves", report=run.report)


def test_a_run_that_is_stuck_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    """Its words are on stderr and in the report; report, page, results and summary are there, and say exit code 1."""
    monkeypatch.setattr(Run, "_raise_error", stuck)
    results, page = tmp_path / "results", tmp_path / "page"
    done = invoke(*arguments(tmp_path, simulator, "--results", str(results), "--html", str(page)))
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "error: defect: nothing moves")
    assert (report(tmp_path)["error"], report(tmp_path)["targets"]["done"]) == ("defect: nothing moves", 6)
    assert len(texts(tmp_path)["results"].splitlines()) == 6
    assert "stopped by an error (exit code 1)" in texts(tmp_path)["page"]
    assert "stopped by an error (exit code 1)" in " ".join(done.stdout.split())


BUGS = {
    "results": (ResultsFile, "add", fail_late),
    "display": (finding, "show_lines", fail_late),
    "failures": (FailureFile, "add", fail),
    "iteration": (Run, "_raise_error", fail),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_a_bug_in_the_middle_of_a_run_costs_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator, bug: tuple[object, str, object]
) -> None:
    """Exit code 1, the report, and one line with kind and place; its text stays out of everything."""
    monkeypatch.setattr(*bug)
    done = invoke(*arguments(tmp_path, simulator, "--results", str(tmp_path / "results")))
    assert done.exit_code == 1
    (line,) = (line for line in done.stderr.splitlines() if "defect" in line)
    assert line.startswith("error: defect: RuntimeError in tests/command/test_endings.py, line ")
    assert "please report it, with --log-level debug" in line
    assert report(tmp_path)["error"] == line.removeprefix("error: ")
    assert report(tmp_path)["targets"]["planned"] == 6
    everything = f"{done.output}{texts(tmp_path)}"
    assert "Traceback" not in everything
    assert SECRET not in everything


def test_the_way_to_a_bug_is_a_debug_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """`--log-level debug` shows the lines of code that led there, and no value."""
    monkeypatch.setattr(Run, "_raise_error", fail)
    done = invoke(*arguments(tmp_path, simulator, "--log-level", "debug"))
    assert "DEBUG sdrs_async: RuntimeError, most recent call last:" in done.stderr
    assert "raise RuntimeError(SECRET)" in done.stderr
    assert SECRET not in done.output


def test_a_page_that_cannot_be_made_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """A bug in one document is found after the deletion, and the others are there."""
    made = html.render

    def fail_late(report: Report, *, fleet_file: bool = False) -> str:
        return fail() if report.targets["planned"] else made(report)

    monkeypatch.setattr(html, "render", fail_late)
    done = invoke(*arguments(tmp_path, simulator, "--html", str(tmp_path / "page")))
    assert (done.exit_code, report(tmp_path)["targets"]["done"]) == (1, 6)
    assert "error: defect: RuntimeError" in done.stderr
    assert sorted(texts(tmp_path)) == ["report.json", "targets.csv"]


def test_a_page_that_could_never_be_made_stops_before_anything_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """All that a page takes is loaded before, so that its lack shows before."""
    monkeypatch.setattr(html, "render", fail)
    done = invoke(*arguments(tmp_path, simulator, "--html", str(tmp_path / "page")))
    assert (done.exit_code, simulator.log) == (1, [])
    assert list(texts(tmp_path)) == ["targets.csv"]


def test_what_is_left_open_at_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """A bug in closing the session comes when the report is there already: it stays as it is, and the code is 1."""
    leave = Session.__aexit__

    async def fail_to_leave(session: Session, *error: Any) -> NoReturn:
        await leave(session, *error)
        raise SdrsError("defect: left open", report=Ledger())

    monkeypatch.setattr(Session, "__aexit__", fail_to_leave)
    done = invoke(*arguments(tmp_path, simulator))
    assert (done.exit_code, report(tmp_path)["targets"]["done"]) == (1, 6)
    assert done.stderr.splitlines()[-1] == "error: defect: left open"


def test_looking_ends_with_1_too(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    """The same defects in `plan` and `doctor`, and while `clean` looks for what it would ask about."""

    def find(session: Session, targets: object) -> NoReturn:
        raise SdrsError("defect: nothing moves")

    where = ["--endpoint", simulator.url, "--iam-endpoint", simulator.url]
    monkeypatch.setattr(Session, "find", find)
    monkeypatch.setattr(checks, "run_checks", fail_late)
    for args, words in (
        (["plan", "--all-projects"], "error: defect: nothing moves"),
        (["doctor"], "error: defect: RuntimeError in "),
    ):
        done = invoke(*args, *where)
        assert done.exit_code == 1, args
        assert done.stderr.splitlines()[-1].startswith(words)


def test_a_defect_before_the_question_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    """What was found until then is written, with the error."""
    found = Ledger()
    found.add_duplicates(2)

    async def connect(cleanup: Cleanup) -> None:
        raise SdrsError("defect: nothing moves", report=found)

    monkeypatch.setattr(Cleanup, "_connect", connect)
    done = invoke(*arguments(tmp_path, simulator))
    assert (done.exit_code, simulator.log) == (1, [])
    document = json.loads(texts(tmp_path)["report.json"])
    assert (document["error"], document["targets"]["duplicates"]) == ("defect: nothing moves", 2)


CODES = [(AuthenticationError("no"), 3), (ConfigError("no"), 2), (JournalError("no"), 2), (SdrsError("no"), 1)]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_each_error_has_its_exit_code(error: SdrsError, code: int) -> None:
    """Whether it stops the run or only one of its outputs; what stopped the run goes before."""
    assert Ending(report=Ledger(), error=error).exit_code == code
    assert Ending(report=Ledger(), mishaps=[error]).exit_code == code
    assert Ending(report=Ledger(), error=error, mishaps=[ConfigError("output")]).exit_code == code


def test_of_several_errors_at_once_the_first_is_told() -> None:
    """Tasks that fail together come as a group; its first error speaks for it, and keeps its kind."""
    first = ConfigError("first")
    assert as_error(ExceptionGroup("", [ExceptionGroup("", [first]), RuntimeError()])) is first
    assert str(as_error(RuntimeError(SECRET))) == (
        "defect: RuntimeError somewhere: please report it, with --log-level debug"
    )


def test_a_bug_before_a_run_is_one_line(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    """Not even what goes wrong while accounts are resolved shows a traceback."""
    monkeypatch.setattr(Connection, "resolve", fail)
    for command in ("clean", "plan"):
        more = ["--yes"] if command == "clean" else []
        done = invoke(command, "--all-projects", "--endpoint", simulator.url, *more)
        assert done.exit_code == 1
        assert SECRET not in done.output
        assert "error: defect: RuntimeError" in done.stderr
