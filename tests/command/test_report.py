"""The command `report`: JSON reports shown again, and merged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from typer.testing import CliRunner, Result

from sdrs_async.command.app import app
from sdrs_async.formats import table
from sdrs_async.formats.json import write as write_json
from sdrs_async.models import Outcome, Target, Verdict
from sdrs_async.report import Ledger
from tests.support.command import finished, process


@pytest.fixture
def full() -> Iterator[BinaryIO]:
    """A device that is always full."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a device that is always full")
    with open("/dev/full", "wb") as device:
        yield device


def invoke(*args: str, stdin: str | None = None) -> Result:
    """Run `report` inside this process."""
    return CliRunner().invoke(app, ["report", *args], input=stdin, catch_exceptions=False)


def write_report(path: Path, run_id: str, message: str = "busy", failed: int = 1) -> str:
    """A report of groups of which one was deleted and the others failed."""
    report = Ledger(run_id=run_id)
    report.add_access(True, False, {})
    report.add(Outcome(Target("p1", "clean"), Verdict.DELETED, 204, attempts=1, latency=0.02))
    for number in range(failed):
        report.add(Outcome(Target("p1", f"g{number}"), Verdict.CONFLICT, 409, "SDRS.1002", message, attempts=5))
    report.finish()
    with path.open("w", encoding="utf-8") as file:
        write_json(report, file)
    return str(path)


def test_a_report_is_shown_as_text(tmp_path: Path) -> None:
    """The summary of a stored report, with exit code 0 although the run had failures: it was shown."""
    result = invoke(write_report(tmp_path / "a.json", "a"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 groups in 1 project: 1 deleted, 1 failed" in result.stdout


def test_reports_are_merged(tmp_path: Path) -> None:
    """Two files give one report of both, as JSON on stdout; reading that one again changes nothing."""
    files = [write_report(tmp_path / f"{name}.json", name) for name in ("a", "b")]
    result = invoke(*files, "--format", "json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert (document["targets"]["planned"], len(document["failures"]), document["runs"]) == (4, 2, ["a", "b"])
    assert invoke("-", "--format", "json", stdin=result.stdout).stdout == result.stdout


@pytest.mark.parametrize(("format_", "start"), [("text", "2 groups"), ("json", "{"), ("html", "<!doctype html>")])
def test_a_report_goes_to_a_file(tmp_path: Path, format_: str, start: str) -> None:
    """`-o` writes each format to a file, without colours, and nothing to stdout."""
    target = tmp_path / "out"
    result = invoke(write_report(tmp_path / "a.json", "a"), "--format", format_, "-o", str(target))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    text = target.read_text("utf-8")
    assert text.lower().startswith(start)
    assert "\x1b" not in text


def test_html_goes_to_stdout_too(tmp_path: Path) -> None:
    """Without `-o` a page is printed, and text of a server in it is escaped."""
    result = invoke(write_report(tmp_path / "a.json", "a", "<script>alert(1)</script>"), "--format", "html")
    assert "</html>" in result.stdout
    assert "<script>" not in result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the report cannot be read: No such file or directory"),
        (b"", "not a JSON report"),
        (b"\xff", "not a JSON report"),
        (b"[" * 100_000, "not a JSON report"),
        (b"[]", "report"),
        (b'{"schema": "other/1"}', "schema"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A file that is missing, no JSON or no report: exit code 2 and one line that names the file."""
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    result = invoke(str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {path}: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    """Merging a run with itself would count it twice: exit code 2, naming the second file; nothing is written."""
    first, second = (write_report(tmp_path / f"{number}.json", "a") for number in (1, 2))
    result = invoke(first, second, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {second}: run a is in both reports")
    assert not (tmp_path / "out").exists()


def test_the_page_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jinja2, HTML is refused before anything else happens, and the extra is named."""
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    result = invoke(write_report(tmp_path / "a.json", "a"), "--format", "html")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: --format html needs the extra `html`: pip install 'sdrs-async[html]'\n"


@pytest.mark.parametrize("format_", ["text", "json"])
async def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, format_: str) -> None:
    """`report x.json | head -1` ends quietly with exit code 0."""
    read, write = os.pipe()
    args = ["report", write_report(tmp_path / "a.json", "a", failed=1000), "--format", format_]
    async with process(*args, stdout=write) as command:
        os.close(write)
        os.close(read)
        done = await finished(command)
    assert (done.code, done.stderr) == (0, "")


@pytest.mark.parametrize("format_", ["text", "json", "html"])
async def test_a_full_stdout_is_an_error(tmp_path: Path, format_: str, full: BinaryIO) -> None:
    """`report x.json > /dev/full`: one error line, exit code 2."""
    args = ["report", write_report(tmp_path / "a.json", "a"), "--format", format_]
    async with process(*args, stdout=full) as command:
        done = await finished(command)
    assert (done.code, done.stderr) == (2, "error: stdout cannot be written: No space left on device\n")
