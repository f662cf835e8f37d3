"""The table of formats: the flags, the outputs and `report --format` follow from it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from sdrs_async.command.app import app
from sdrs_async.command.outputs import Outputs
from sdrs_async.formats.table import FORMATS, Format
from sdrs_async.report import Ledger, Report


def _report() -> Report:
    report = Ledger(run_id="a-run")
    report.finish()
    return report


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_by_the_module_of_its_name(name: str) -> None:
    """A row of the table is all that a format needs beside its own file."""
    file = io.StringIO()
    FORMATS[name].write(_report(), file, failures=[], fleet_file=True)
    assert file.getvalue().endswith("\n") or name == "html"
    assert "a-run" in file.getvalue()


@pytest.mark.parametrize("command", ["clean", "demo"])
def test_every_format_with_a_text_for_help_has_a_flag(command: str) -> None:
    """`clean` and `demo` write each of them; the text that stands on the terminal anyway has no flag."""
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    assert [name for name in FORMATS if f"--{name} " in shown] == ["json", "html"]


def test_a_new_format_is_a_row_and_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With these, a cleanup has an output for it, which is opened, written and checked as the others are."""
    module = ModuleType("sdrs_async.formats.short")
    module.write = lambda report, file, **_: file.write(report.run_id)  # type: ignore[attr-defined] # is what a format has
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "short", Format("short", ".short", "Write it."))
    assert [flag.name for flag in Outputs.parameters()] == ["json", "results", "html", "short"]
    outputs = Outputs(short=str(tmp_path / "report.short"))
    outputs.check()
    with outputs.opened() as files:
        files.documents[FORMATS["short"]].save(lambda file: FORMATS["short"].write(_report(), file))
    assert (tmp_path / "report.short").read_text("utf-8") == "a-run"


def _without_rich(*args: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.modules['rich'] = None; from sdrs_async.command.cli import main; main()"
    variables = {**os.environ, "OS_TOKEN": "a-token"}
    call = [sys.executable, "-c", code, *args]
    return subprocess.run(call, capture_output=True, text=True, check=False, env=variables)


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """A report in a file."""
    with open(tmp_path / "report.json", "w", encoding="utf-8") as file:
        FORMATS["json"].write(_report(), file)
    return str(tmp_path / "report.json")


def test_json_needs_no_rich(stored: str) -> None:
    """Scripts that put reports together do so where nothing can be drawn; who wants to read one is told what for."""
    done = _without_rich("report", stored, "--format", "json")
    document: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, done.stderr, document["run_id"]) == (0, "", "a-run")
    done = _without_rich("report", stored)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --format text needs the extra `cli`: pip install 'sdrs-async[cli]'\n"


def test_json_loads_no_rich(stored: str) -> None:
    """Where it is installed, JSON does not wait for it either."""
    code = (
        "import atexit, sys; atexit.register(lambda: sys.stderr.write(str('rich.console' in sys.modules)))\n"
        "from sdrs_async.command.cli import main; main()"
    )
    args = [sys.executable, "-c", code, "report", stored, "--format", "json"]
    done = subprocess.run(args, capture_output=True, text=True, check=True)
    assert done.stderr == "False"


@pytest.mark.parametrize("command", ["clean", "doctor"])
def test_a_command_that_needs_rich_says_so(command: str) -> None:
    """A cleanup has a summary: where half of the extra is missing, one line names it before anything is sent."""
    selected = ["--project", "0123456789abcdef0123456789abcdef"]
    done = _without_rich(command, "--endpoint", "http://127.0.0.1:9", *selected, *["--yes"] * (command == "clean"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the command needs its extra: pip install 'sdrs-async[cli]'\n"
