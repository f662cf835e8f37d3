"""The command as a process: its handlers of signals stop a run that is paced by timers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from sdrs_async.simulator import Simulator
from tests.matrix.loops import on_the_loop
from tests.support.waiting import until


@pytest.mark.parametrize(("number", "code"), [(None, 0), (signal.SIGTERM, 143)])
@on_the_loop
async def test_the_command_ends_with_its_work_or_with_a_signal(
    tmp_path: Path, number: signal.Signals | None, code: int
) -> None:
    """All is clean, or what was sent is counted and the rest is unsettled."""
    pytest.importorskip("typer")
    groups = 12 if number is None else 200
    async with Simulator(projects=1, groups=groups, latency=0.02) as cloud:
        (tmp_path / "targets").write_text("".join(f"{project}/{group}\n" for project, group in cloud.targets))
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sdrs_async", "clean", "--targets", "targets", "--endpoint", cloud.url, "--yes",
            "--json", "report.json", cwd=tmp_path, env=os.environ | {"OS_TOKEN": cloud.token}, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        try:
            if number is not None:
                await until(lambda: len(cloud.log) >= 3, seconds=20)
                command.send_signal(number)
            _, stderr = await command.communicate()
        finally:
            if command.returncode is None:
                command.kill()
                await command.wait()
        assert command.returncode == code, stderr.decode()
        targets = json.loads((tmp_path / "report.json").read_text())["targets"]
        assert targets["planned"] == groups
        assert targets["done"] == len(cloud.log) == groups - targets["unsettled"]
