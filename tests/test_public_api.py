"""The door of the package: what users import, and nothing else."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sdrs_async
from sdrs_async import api

PROMISED = {
    *("clean", "stream", "Run", "Target", "Limits", "Rate", "RetryPolicy", "StaticToken", "Auth", "Request"),
    *("Outcome", "Verdict", "Report", "SdrsError", "ConfigError", "AuthenticationError", "JournalError"),
    *("connect", "Session", "Account", "AkSk", "KeystoneAuth", "SignInFailed", "Selection", "ProjectLevel"),
    *("HuaweiAuth", "Fleet", "load_fleet"),
    *("Finding", "Lists", "Project", "Group", "FailedTask", "ListingError", "Unlisted", "UsedUp", "Learned"),
    *("Failure", "Totals", "Plan", "Extent", "Floor"),
}


def test_the_door_lists_what_is_promised() -> None:
    """`__all__` is exactly the public interface, sorted, each name once."""
    assert set(sdrs_async.__all__) == PROMISED
    assert sdrs_async.__all__ == sorted(sdrs_async.__all__)
    assert len(sdrs_async.__all__) == len(PROMISED)


def test_nothing_else_is_public() -> None:
    """Apart from its modules the package shows the promised names only."""
    shown = {name for name in dir(sdrs_async) if not isinstance(getattr(sdrs_async, name), ModuleType)}
    assert {name for name in shown if not name.startswith("_")} == PROMISED


FIRST_USES = {
    "of none": "import sys, sdrs_async; assert 'stream' in dir(sdrs_async) and not hasattr(sdrs_async, 'nothing'); "
    "assert 'aiohttp' not in sys.modules",
    "of all": "from sdrs_async import *; assert Target.__module__ == 'sdrs_async'",
    "beside a user's own": "import sdrs_async as a; a.clean = 1; assert a.stream and a.clean == 1",
    "by help": "import pydoc, sdrs_async; assert 'class Target(' in pydoc.plain(pydoc.render_doc(sdrs_async))",
    "by a pickle": "import pickle; assert pickle.loads(b'csdrs_async\\nTarget\\n.').__name__ == 'Target'",
}


@pytest.mark.parametrize("code", FIRST_USES.values(), ids=FIRST_USES)
def test_names_come_with_their_first_use(code: str) -> None:
    """The package is there at once, whatever the library imports; its names are, in every way to ask for them."""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(sdrs_async.__file__).parent.parent)


def test_the_door_is_the_library() -> None:
    """What type checkers and editors are shown is what there is at run time."""
    assert api.__all__ == sdrs_async.__all__


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promised_name_is_explained(name: str) -> None:
    """Each has a docstring of its own, not the one a dataclass makes up, and so has each of its public methods."""
    value = getattr(sdrs_async, name)
    assert value.__module__ == "sdrs_async"
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")
    for member, function in vars(value).items():
        if inspect.isfunction(function) and not member.startswith("_"):
            assert function.__doc__, f"{name}.{member} has no docstring"


def _types(hint: object) -> Iterator[object]:
    yield hint
    for part in typing.get_args(hint):
        yield from _types(part)


def _signatures(value: object) -> Iterator[object]:
    """The functions a user calls: the thing itself, and the methods of a class."""
    if inspect.isfunction(value):
        yield inspect.unwrap(value)
    elif inspect.isclass(value):
        yield value
        yield from (member for name, member in vars(value).items() if inspect.isfunction(member) and name[0] != "_")


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_no_signature_needs_a_name_that_is_not_at_the_door(name: str) -> None:
    """Whoever writes types can import everything that a promised function takes or gives."""
    for function in _signatures(getattr(sdrs_async, name)):
        for hint in typing.get_type_hints(function, localns=vars(api)).values():
            for part in _types(hint):
                if inspect.isclass(part) and part.__module__.partition(".")[0] == "sdrs_async":
                    assert part.__name__ in PROMISED, f"{name}: {part.__name__} is not in sdrs_async.__all__"


def test_the_version_is_a_release_number() -> None:
    """The version is the one that the distribution is built with."""
    assert [part.isdigit() for part in sdrs_async.__version__.split(".")] == [True] * 3


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_the_types_of_fields_are_known_to_whoever_asks(name: str) -> None:
    """A model of pydantic or msgspec may hold any of them: no type hint is a name without a meaning."""
    value = getattr(sdrs_async, name)
    typing.get_type_hints(value)
    assert not [
        hint
        for hint in getattr(value, "__annotations__", {}).values()
        if inspect.isclass(value) and isinstance(hint, str)
    ]
