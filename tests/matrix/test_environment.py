"""The environment is what its name says: else all these tests would show nothing."""

from __future__ import annotations

import os
import tomllib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.matrix.lowest import lowest

NAME = os.environ.get("SDRS_TEST_ENVIRONMENT")
PYPROJECT = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"


@pytest.mark.skipif(NAME is None, reason="only the environments of `make matrix` have names")
def test_the_environment_is_what_its_name_says() -> None:
    """`plain` has no sniffio; `beside` has it, trio, openai and httpx; `lowest` has it through its anyio."""
    has = {name for name in ("sniffio", "trio", "openai", "httpx") if find_spec(name) is not None}
    assert has == {"plain": set(), "lowest": {"sniffio"}, "beside": {"sniffio", "trio", "openai", "httpx"}}[NAME or ""]
    pins = dict(pin.split("==") for pin in lowest(tomllib.loads(PYPROJECT.read_text("utf-8"))))
    for name in ("aiohttp", "anyio", "uvloop") if NAME == "lowest" else ():
        assert version(name).removesuffix(".0") == pins[name]


def test_the_lowest_versions_are_those_that_pyproject_names() -> None:
    """Each `>=` becomes one `==`, of the library itself and of every extra; what has no lower bound is left out."""
    project = {
        "dependencies": ["aiohttp>=3.14", "anyio >= 4.6,<5"],
        "optional-dependencies": {"speed": ["uvloop>=0.21; sys_platform != 'win32'", "six"], "all": ["own[speed]"]},
    }
    assert lowest({"project": project}) == ["aiohttp==3.14", "anyio==4.6", "uvloop==0.21"]
