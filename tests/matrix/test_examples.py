"""The examples and the README's Python run offline, as a user would start them, on the loop that is asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sdrs_async.simulator import Simulator
from tests.matrix.loops import LOOP, on_the_loop

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAYS = {
    "01_first_run.py": ["left on the server: 0", "'planned': 20, 'done': 20"],
    "02_web_application.py": ["120 of 120 groups", "left on the server: 0"],
    "03_targets_from_csv.py": ["'planned': 15, 'done': 15", "target number 16: server_group_id 'batch' is refused"],
    "04_find_and_clean.py": ["'eu-de': 20 groups", "left on the servers: 0", "'planned': 73, 'done': 73"],
}
# An example starts its loop itself, as users do; there is no other way to have it start uvloop's.
ON_UVLOOP = (
    "import asyncio, runpy, sys, uvloop; asyncio.run = uvloop.run; runpy.run_path(sys.argv[1], None, '__main__')"
)

BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
CLOUDS_YAML = """
clouds:
  prod:
    auth:
      auth_url: {OS_AUTH_URL}
      username: {OS_USERNAME}
      password: {OS_PASSWORD}
      user_domain_name: {OS_USER_DOMAIN_NAME}
      project_domain_name: {OS_PROJECT_DOMAIN_NAME}
    region_name: {OS_REGION_NAME}
"""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_says_what_it_promises(path: Path) -> None:
    """Each example ends well, without a warning, and prints its result."""
    start = ["-c", ON_UVLOOP] if LOOP == "uvloop" else []
    done = subprocess.run(
        [sys.executable, "-W", "error", *start, path], check=False, capture_output=True, text=True, timeout=40
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in SAYS[path.name]:
        assert words in done.stdout


async def _main(run: Callable[..., Awaitable[None]], one: Simulator, other: Simulator) -> None:
    await run(one.targets, one.token)
    assert one.remaining == 0


async def _everything(run: Callable[..., Awaitable[None]], one: Simulator, other: Simulator) -> None:
    keys = other.environment
    await run(keys["HUAWEICLOUD_SDK_AK"], keys["HUAWEICLOUD_SDK_SK"])
    assert one.remaining == other.remaining == 0


# What the README's functions are called with, by their names: one that is new has to be told here how it is called.
CALLS = {"main": _main, "everything": _everything}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
@on_the_loop
async def test_the_python_of_the_readme_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every function of each block, with nothing changed but the hosts: two simulated clouds instead."""
    pytest.importorskip("openstack")
    async with Simulator(seed=1) as one, Simulator(seed=2) as other:
        (tmp_path / "clouds.yaml").write_text(CLOUDS_YAML.format(**one.environment))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
        text = re.sub(r"https://[\w.-]*otc\.t-systems\.com", one.url, block)
        text = re.sub(r"https://[\w.-]*myhuaweicloud\.com", other.url, text).replace('"cn-north-4"', '"eu-de"')
        assert "https://" not in text
        names: dict[str, Any] = {}
        exec(compile(text, "README.md", "exec"), names)
        functions = re.findall(r"^async def (\w+)", block, re.MULTILINE)
        assert functions
        for name in functions:
            one.reset()
            await CALLS[name](names[name], one, other)


def test_the_readme_has_python() -> None:
    """A block that is fenced in another way would be run by nobody."""
    assert BLOCKS
