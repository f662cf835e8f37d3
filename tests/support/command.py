"""The command as a process of its own, beside a simulator in the test."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sdrs_async.simulator import Simulator
from tests.support.forking import FORKS, Done, Forked, Stem

__all__ = [
    "STEM", "Done", "Started", "arguments", "finished", "fresh", "process", "report", "run", "texts", "until",
    "write_targets",
]  # fmt: skip

_ROOT = Path(__file__).resolve().parents[2]


STEM = Stem()
"""What `process` and `run` fork from."""

Started = Process | Forked


@asynccontextmanager
async def process(
    *args: str, token: str | None = None, environ: Mapping[str, str] | None = None, **streams: int
) -> AsyncIterator[Started]:
    """Start the command with these arguments; it is killed if the block leaves it running.

    `environ`: more variables. `stdin`, `stdout`, `stderr`: pipes, unless descriptors are given.
    """
    if FORKS:
        async with STEM.process(args, _variables(token, environ), **streams) as forked:
            yield forked
    else:
        async with fresh(*args, token=token, environ=environ, **streams) as command:
            yield command


@asynccontextmanager
async def fresh(
    *args: str, token: str | None = None, environ: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Process]:
    """The same in an interpreter of its own, `python -m sdrs_async`: for what `options` of a process do, and slow."""
    options = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE} | options
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sdrs_async", *args, env=_variables(token, environ), cwd=_ROOT, **options
    )
    try:
        yield command
    finally:
        if command.returncode is None:
            command.kill()
            await command.communicate()


def _variables(token: str | None, more: Mapping[str, str] | None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name != "OS_TOKEN"} | dict(more or {})
    return env if token is None else env | {"OS_TOKEN": token}


async def finished(command: Started, stdin: bytes = b"") -> Done:
    """Wait for the end of a process."""
    async with asyncio.timeout(60):
        stdout, stderr = await command.communicate(stdin)
    assert command.returncode is not None
    return Done(command.returncode, (stdout or b"").decode(), (stderr or b"").decode())


async def run(
    *args: str, token: str | None = None, environ: Mapping[str, str] | None = None, stdin: bytes = b""
) -> Done:
    """Run the command to its end; for signals and streams, use `process`."""
    async with process(*args, token=token, environ=environ) as command:
        return await finished(command, stdin)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.005)


def write_targets(folder: Path, simulator: Simulator, *more: tuple[str, str]) -> str:
    """A CSV file of all groups of the simulator, and of `more`."""
    path = folder / "targets.csv"
    rows = ["project_id,server_group_id", *(",".join(target) for target in [*simulator.targets, *more])]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return str(path)


def arguments(folder: Path, simulator: Simulator, *more: str) -> list[str]:
    """The arguments of a cleanup of all groups of the simulator that asks nothing and writes `report.json`."""
    return [
        "clean", "--targets", write_targets(folder, simulator), "--endpoint", simulator.url,
        "--yes", "--json", str(folder / "report.json"), *more,
    ]  # fmt: skip


def report(folder: Path) -> dict[str, Any]:
    """The report that a run with `arguments` has written; its sums hold."""
    document: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    for targets in (document["targets"], *(project["targets"] for project in document["projects"])):
        assert targets["planned"] == sum(targets[key] for key in ("done", "gone", "failed", "skipped", "unsettled"))
    return document


def texts(folder: Path) -> dict[str, str]:
    """All files of a folder by their names."""
    return {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir())}
