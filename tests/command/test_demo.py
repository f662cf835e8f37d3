"""The demonstration: what it shows, and that its numbers are compared with the server's."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from sdrs_async.command.demo import compare
from sdrs_async.command.outputs import Outputs
from sdrs_async.errors import ConfigError
from sdrs_async.report import Ledger
from sdrs_async.simulator import Simulator
from tests.support.command import finished, process, run, texts
from tests.support.readme import blocks, is_shown


async def test_the_demo_runs_and_its_numbers_add_up(tmp_path: Path) -> None:
    """It says what it does, meets every fault, ends clean with the server's agreement, as the README shows it."""
    files = ("--html", str(tmp_path / "page.html"), "--json", str(tmp_path / "report.json"))
    done = await run("demo", *files, environ={"COLUMNS": "100"})
    assert done.code == 0, done.stdout + done.stderr
    assert done.stderr.startswith("This cleans 8 projects with 25 protection groups each")
    assert "of 202 groups: " in done.stderr
    assert "202 groups in 8 projects: " in done.stdout
    for answer in (
        "x 204",
        "1 x 404",
        "1 x 400",
        "1 x 429",
        "x 503",
        "1 x hang",
        "1 x reset-before",
        "1 x reset-after",
    ):
        assert answer in " ".join(done.stdout.split())
    assert "Most of one project in any second: 4 of 4 allowed" in done.stdout
    assert "Failed tasks left: 0" in done.stdout
    assert done.stdout.endswith("The numbers agree, and everything is clean.\n")
    (shown,) = (block.text for block in blocks("README.md") if block.language == "text")
    assert is_shown(shown, done.stdout)
    written = texts(tmp_path)
    targets = json.loads(written["report.json"])["targets"]
    assert (targets["planned"], targets["failed"], targets["done"] + targets["gone"]) == (202, 0, 202)
    assert "</html>" in written["page.html"]


async def test_ctrl_c_ends_the_demo_as_it_ends_a_cleanup(tmp_path: Path) -> None:
    """Ctrl-C in the demo: exit code 130, its summary and files are there, and nothing is compared."""
    async with process("demo", "--json", str(tmp_path / "report.json")) as command:
        assert command.stderr is not None
        while b" of 202 groups: " not in (line := await command.stderr.readline()):
            assert line, "the demo has ended before it showed any progress"
        command.send_signal(signal.SIGINT)
        done = await finished(command)
    assert done.code == 130
    assert "202 groups in 8 projects: " in done.stdout
    assert "What the server says" not in done.stdout
    assert json.loads(texts(tmp_path)["report.json"])["targets"]["planned"] == 202


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
async def test_a_full_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server says cannot be printed: an error for the command to report, no traceback."""
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w", encoding="utf-8"))  # noqa: SIM115, ASYNC230 - closed below
    async with Simulator(projects=1, groups=1) as simulator:
        with pytest.raises(ConfigError, match="stdout cannot be written: No space left on device"):
            compare(Ledger(), simulator, Outputs())
    sys.stdout.close()


async def test_numbers_that_differ_are_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A report that does not fit what the server saw is told apart, on stderr when stdout is taken."""
    async with Simulator(projects=1, groups=1, failed_tasks=3) as simulator:
        assert compare(Ledger(), simulator, Outputs(json="-")) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Failed tasks left: 3" in shown.err
    assert "These numbers should agree and do not." in shown.err
