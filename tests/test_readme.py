"""The documents say what is so: every command that they show is run, and what it shows is what it prints."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from sdrs_async.simulator import Simulator
from tests.support.readme import ROOT, Block, Step, blocks, is_shown, steps

DOCUMENTS = sorted(str(path.relative_to(ROOT)) for begins in ("*.md", "[!.]*/*.md") for path in ROOT.glob(begins))
FOR_DEVELOPERS = ("CONTRIBUTING.md", "benchmarks/README.md")
# `python` is run by tests/matrix/test_examples.py; the one `text`, what the demo prints, by tests/command/test_demo.py.
LANGUAGES = ("console", "python", "text")
CONSOLE = [block for block in blocks("README.md") if block.language == "console"]
# A smaller fleet and a shorter window, for what would take 20 s by the clock; the words that are shown stay the same.
QUICKER = {"--groups 40 --user-rate 60/10s": "--groups 10 --user-rate 20/2s"}
# Instead of a shell that waits for somebody: one that is at its end at once.
FOR_NOBODY = {"-- bash": "-- bash -c 'test -n \"$OS_TOKEN\"'"}


def run(step: Step, folder: Path, environ: Mapping[str, str]) -> None:
    """A command of the product, as it is shown, in a shell with a terminal where somebody says yes to what it asks."""
    line = step.command
    for shown, instead in (QUICKER | FOR_NOBODY).items():
        line = line.replace(shown, instead)
    screen, terminal = pty.openpty()
    seen = bytearray()

    def answer() -> None:
        with suppress(OSError):  # the other end is closed
            while more := os.read(screen, 4096):
                seen.extend(more)
                if b"[y/N] " in more:
                    os.write(screen, b"y\n")

    somebody = threading.Thread(target=answer)
    somebody.start()
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", line], cwd=folder, env=environ, start_new_session=True,
        stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, text=True,
    )  # fmt: skip
    try:
        stdout, _ = shell.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):  # what it has left in the background would hold the terminal
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        os.close(terminal)
        somebody.join()
        os.close(screen)
    assert shell.returncode == 0, (step.command, stdout, seen.decode())
    assert is_shown(step.shown, stdout), f"{step.command}\nshows\n{step.shown}\nand prints\n{stdout}"


def clone(step: Step, folder: Path, environ: Mapping[str, str]) -> None:
    """This repository in place of the placeholder."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone itself")
    line = re.sub(r"<[^>]*>", str(ROOT), step.command)
    subprocess.run(["bash", "-euo", "pipefail", "-c", f"{line} && test -f Makefile"], check=True, cwd=folder)


def make(step: Step, folder: Path, environ: Mapping[str, str]) -> None:
    """The target is there, and what it would do can be told. tests/command/test_demo.py runs that of the demo."""
    command = ["make", "-n", "--no-print-directory", *step.command.split("#")[0].split()[1:]]
    told = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, (step.command, told.stderr)
    if step.command == "make demo":
        assert told.stdout.endswith("\n.venv/bin/sdrs-async demo --html demo-report.html\n")


def install(step: Step, folder: Path, environ: Mapping[str, str]) -> None:
    """The extras exist; without any there is what the comment names. `make demo` and `make check` do install it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = re.fullmatch(r"pip install (?:'\.\[([\w,]+)\]'|\.) +#(.*)", step.command)
    assert asked is not None, step.command
    assert {*(asked[1] or "cli").split(",")} <= {*project["optional-dependencies"]}
    if not asked[1]:
        names = {re.match(r"[\w-]+", needed)[0] for needed in project["dependencies"]}  # type: ignore[index]
        assert names == {*asked[2].partition(":")[2].replace(" and ", " ").split()}


WAYS = {"sdrs-async ": run, "git clone ": clone, "make ": make, "pip install ": install}


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a user who has installed it, in another folder, with nothing of the developer's."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "sdrs-async").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sdrs_async "$@"\n')
    (folder / "sdrs-async").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name == "LANG"}
    return kept | {
        "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder), "TERM": "xterm",
    }  # fmt: skip


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.place)
async def test_a_block_of_the_readme_runs_and_shows_what_it_prints(
    block: Block, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Each line as it stands, where a cloud `prod` is in clouds.yaml and somebody at the terminal says yes.

    Lines that need the network or a minute are stood in for: see `clone`, `make` and `install`. Numbers, ids and line
    ends may differ from what is shown, words may not.
    """
    async with Simulator(projects=2, groups=3) as cloud:
        auth = {
            name: cloud.environment[f"OS_{name.upper()}"]
            for name in ("auth_url", "username", "password", "user_domain_name", "project_domain_name")
        }
        prod = {"auth": auth, "region_name": cloud.environment["OS_REGION_NAME"]}
        (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"prod": prod}}))
        done = list(steps(block.text))
        assert done, f"{block.place}: no command"
        for step in done:
            ways = [way for begins, way in WAYS.items() if step.command.startswith(begins)]
            assert ways, f"{block.place}: nobody knows how to run {step.command!r}: give it a way"
            await asyncio.to_thread(ways[0], step, tmp_path, environ)
        assert (cloud.remaining == 0) is ("clean  --os-cloud prod" in block.text)


def test_no_command_of_the_documents_is_overlooked() -> None:
    """A block is fenced in a way that some test runs; commands stand in those of `console` alone, from line one on."""
    for name in DOCUMENTS:
        found = blocks(name)
        for place, language, text in found:
            assert language in LANGUAGES, f"{place}: a block of {language!r}, which nobody runs"
            assert text.startswith("$ ") is (language == "console"), place
            assert ("$ " in text) is (language == "console"), place
            assert language != "console" or name in ("README.md", *FOR_DEVELOPERS), f"{place}: nobody runs it"
        fenced = "\n".join(block.text for block in found).splitlines()
        lines = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line.lstrip().startswith("$ ")]
        assert [line for line in lines if line not in fenced] == []
    assert len(CONSOLE) >= 5


@pytest.mark.parametrize("name", FOR_DEVELOPERS)
def test_commands_for_developers_exist(name: str, tmp_path: Path) -> None:
    """Targets of make, modules and test files that the other documents name are there; these are not run here."""
    text = (ROOT / name).read_text("utf-8")
    for block in blocks(name):
        for step in steps(block.text):
            assert step.command.startswith(("git clone ", "make ", ".venv/bin/python -m ", "SDRS_TEST_LOOP=")), step
            for path in re.findall(r"(?<= )tests/[\w/.]+", step.command):
                assert (ROOT / path).exists(), step
    for target in {*re.findall(r"(?:`|\$ )make (\w+)", text)}:
        make(Step(f"make {target}", ""), tmp_path, {})
    bench = (ROOT / "Makefile").read_text("utf-8")
    for program in re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) if name.startswith("benchmarks") else ():
        assert (ROOT / "benchmarks" / f"{program}.py").exists()
        assert f"-m benchmarks.{program}\n" in bench


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("Takes 20.4 s\n...\n  in 3 projects", "Takes\n 1,000 ms and\nmore, in 12\nprojects.\n", True),
        ("Takes 20.4 s", "It takes 20.4 s", False),
        ("first\n...\nsecond", "second, first", False),
        ("id 3bec9aa63d80165ef8f07b7a9b63baa1", "id 0b60fab7a3fa06d5c55b549ff9f6f528", True),
        ("", "anything", True),
    ],
)
def test_words_are_compared_and_numbers_are_not(shown: str, printed: str, same: bool) -> None:
    """What is shown has to be printed, in its order; how long, how many and which one may differ."""
    assert is_shown(shown, printed) is same
