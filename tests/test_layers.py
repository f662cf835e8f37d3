"""The package is a house of rooms: a room imports only from those below it, and nothing runs in a circle."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import structure
from tests.support.structure import DOOR, MAIN, PACKAGE, ROOMS

# The simulator judges the client, so it shares no code with it; the library never needs it.
SIMULATOR = "simulator"
SIMULATOR_USERS = {"command.demo", "command.simulate"}
# Libraries of the extras (pyproject.toml), and the parts of the package that only a command needs.
LAZY = {
    *("typer", "rich", "jinja2", "pygal", "openstack", "keystoneauth1", "huaweicloudsdkcore", "distributed"),
    *("msgspec", "requests", "urllib3", "yaml"),
    *("opentelemetry", "uvloop", "sdrs_async.simulator", "sdrs_async.command", "sdrs_async.formats.text"),
    *("sdrs_async.laboratory", "sdrs_async.formats.html"),
}


def test_no_import_climbs() -> None:
    """Imports lead down from room to room, inside functions too; those for typing alone are free."""
    assert structure.climbing(structure.rooms(structure.modules())) == []


def test_every_room_has_its_place() -> None:
    """A room that the list does not know fails here, so that its place is decided when it is built."""
    assert set(structure.rooms(structure.modules())) == set(ROOMS)


def test_nothing_runs_in_a_circle() -> None:
    """Inside a room neither: what is read first needs nothing of what is read later."""
    assert structure.circles(structure.modules()) == []


def test_the_doors_show_the_library_and_the_command() -> None:
    """The public door knows `api` alone, the other the command; of the rooms only the command goes through the door."""
    assert structure.modules()[DOOR] == {"api"}
    assert structure.modules()[MAIN] == {"command.cli"}
    assert {structure.room_of(module) for module, imported in structure.modules().items() if DOOR in imported} <= {
        "command"
    }


def test_the_simulator_shares_no_code_with_what_it_judges() -> None:
    """It imports nothing of the package, and only the commands that start it import it."""
    assert structure.rooms(structure.modules())[SIMULATOR] == set()
    users = {
        module for module, imported in structure.modules().items() if SIMULATOR in map(structure.room_of, imported)
    }
    assert {module for module in users if structure.room_of(module) != SIMULATOR} == SIMULATOR_USERS


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import sdrs_async.models", ["models"]),
        ("from sdrs_async.models import Target", ["models"]),
        ("from sdrs_async import errors, models", ["errors", "models"]),
        ("from . import errors", ["errors"]),
        ("from .models import Target", ["models"]),
        ("from sdrs_async.pace.windows import Window", ["pace.windows"]),
        ("def late():\n    from sdrs_async import errors", ["errors"]),
        ("from sdrs_async import Target", ["__init__"]),
        ("import sdrs_async", ["__init__"]),
        ("if TYPE_CHECKING:\n    from sdrs_async import errors\nelse:\n    import sdrs_async.models", ["models"]),
        ("import asyncio, aiohttp", []),
    ],
)
def test_every_way_to_import_is_seen(source: str, imported: list[str]) -> None:
    """However an import is spelled, the layer test sees the module behind it."""
    assert list(structure.imports(source, PACKAGE / "session.py")) == imported


def test_what_climbs_and_what_runs_in_a_circle_is_seen() -> None:
    """The tests above can fail: an arrow upwards and a circle of three are both found."""
    assert structure.climbing({"errors": frozenset({"models"}), "models": frozenset({"errors"})}) == [
        "errors -> models"
    ]
    ring = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("ad"), "d": frozenset()}
    assert structure.circles(ring) == [frozenset("abc")]


def test_importing_the_library_needs_no_extra() -> None:
    """All that `sdrs_async` offers loads no library of an extra, neither the command nor the simulator."""
    code = f"import sys; from sdrs_async import *; print(*sys.modules.keys() & {LAZY!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.split() == []
