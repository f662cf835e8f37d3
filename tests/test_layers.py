"""The package is a stack of layers: a module imports only from rows above its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

# A new module gets a row here: the smallest number above those of all that it imports. A sub-package counts as the last
# of its modules that its own door shows.
ROWS = (
    {"alarm", "bodies", "errors", "heads", "keystone.agency", "keystone.token", "pages", "signing", "spellings"}
    | {"slices", "threads"}
    | {"laboratory", "laboratory.policies", "laboratory.virtual_time"},
    {"arguments", "connections", "environment", "proxies", "redaction", "trust"}
    | {"keystone.keys", "keystone.methods", "keystone.settings"},
    {"lookups", "models", "blocking_http", "endpoints", "laboratory.gateways", "report.fields", "fleet_file.places"}
    | {"keystone.sources"},
    {"wire", "retry", "windows", "concurrency", "deadlines", "sites"}
    | {"fleet_file.fleet", "fleet_file.literals", "fleet_file.tables", "laboratory.figures", "laboratory.world"}
    | {f"report.{name}" for name in ("latency", "learned", "speed", "failures")}
    | {"report.discovery", "report.projects"},
    {"auth", "events", "keystone.cloud", "adaptation", "listing", "report.answers", "report.remedies"}
    | {"fleet_file.credentials", "laboratory.results"},
    {"accounts", "diagnosis", "peers", "replies", "report.tally", "shared_work"}
    | {"fleet_file.accounts", "keystone.sign_in", "keystone.access_key"},
    {"huawei", "keystone.tokens", "report.report"},
    {"client", "keystone.auth", "pacing", "shared_credentials", "report", "fleet_file.loading"},
    {"keystone", "users", "fleet_file"},
    {"lanes", "paced", "reading", "standing", "turns"},
    {"discovery", "scopes"},
    {"fleet"},
    {"settlement"},
    {"sign_ins"},
    {"engine"},
    {"run", "laboratory.trial"},
    {"session", "laboratory.forecast"},
    {"batch", "examination", "render", "render.wording"},
    {"render.limits", "library"},
    {"render.text", "render.html"},
    {"command"}
    | {f"command.{name}" for name in ("flags", "progress", "selecting", "server_flags", "spool", "terminal")}
    | {"command.id_forms", "command.list_text"},
    {f"command.{name}" for name in ("credentials", "doctor", "documents", "floors", "interrupts", "list_json")},
    {f"command.{name}" for name in ("connecting", "list_forms", "outlook", "questions", "results", "simulating")},
    {"command.accounts", "command.finding", "command.outputs", "command.targets"},
    {"command.endings", "command.inputs", "command.options"},
    {"command.planning", "command.records"},
    {"command.cleanup"},
    {"command.clean", "command.demo", "command.reports", "command.serving"},
    {"command.beside", "command.inspecting"},
    {"command.commands"},
    {"command.cli"},
    {"__main__"},
)
ROW_OF = {module: number for number, row in enumerate(ROWS) for module in row}
# The public door shows the library and nothing of the command.
DOOR = "__init__"
DOOR_ROW = ROW_OF["library"] + 1
# The simulator judges the client, so it shares no code with it; the library never needs it.
SIMULATOR = "simulator"
SIMULATOR_USERS = {"command.beside", "command.demo", "command.serving"}
# Libraries of the extras (pyproject.toml), and the parts of the package that only a command needs.
LAZY = {
    *("typer", "rich", "jinja2", "pygal", "openstack", "keystoneauth1", "huaweicloudsdkcore", "distributed"),
    *("requests", "urllib3", "yaml"),
    *("opentelemetry", "uvloop", "sdrs_async.simulator", "sdrs_async.command", "sdrs_async.render"),
    "sdrs_async.laboratory",
}

PACKAGE = Path(__file__).resolve().parent.parent / "sdrs_async"
SOURCES = sorted(PACKAGE.rglob("*.py"))
KNOWN = {*ROW_OF, DOOR, SIMULATOR}


def _module(path: Path) -> str:
    """Name the module of the table that a file is; the simulator is one, whatever it consists of."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return _known(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk all code, also inside functions, except what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _runtime_nodes(other)
            continue
        yield child
        yield from _runtime_nodes(child)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    """Spell out what a relative import is relative to."""
    if not node.level:
        return node.module or ""
    parts = ("sdrs_async", *path.relative_to(PACKAGE).parts[:-1])
    base = parts[: len(parts) - node.level + 1]
    return ".".join((*base, node.module) if node.module else base)


def _imports(source: str, path: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports at run time, as the table spells them."""
    for node in _runtime_nodes(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, path)
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            top, *rest = name.split(".")
            if top == "sdrs_async":
                yield _known(rest)


def _known(parts: Sequence[str]) -> str:
    """Name the module that a dotted path leads to; what is no module is a name that its package's door offers."""
    if parts and parts[0] == SIMULATOR:
        return SIMULATOR
    for length in range(len(parts), 0, -1):
        place = PACKAGE.joinpath(*parts[:length])
        if place.is_dir() or place.with_suffix(".py").exists():
            return ".".join(parts[:length])
    return DOOR


def _allowed(importer: str, imported: str) -> bool:
    if importer == SIMULATOR:
        return imported == SIMULATOR
    if imported == SIMULATOR:
        return importer in SIMULATOR_USERS
    row = DOOR_ROW if importer == DOOR else ROW_OF[importer]
    if imported == DOOR:  # it imports the whole library itself, so only the command's rows may use it
        return row >= DOOR_ROW and importer != DOOR
    return ROW_OF.get(imported, -1) < row  # a module without a row has a test of its own


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if _module(path) in KNOWN], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_module_imports_only_from_the_rows_above_it(path: Path) -> None:
    """Imports point one way, inside functions too; those for typing alone are free."""
    importer = _module(path)
    wrong = {module for module in _imports(path.read_text("utf-8"), path) if not _allowed(importer, module)}
    assert not wrong, f"{importer} imports {sorted(wrong)}, which ROWS in {Path(__file__).name} does not allow"


def test_every_module_has_a_row() -> None:
    """A module that the table does not know fails here, so that its place is decided when it is written."""
    unknown = {_module(path) for path in SOURCES} - KNOWN
    assert not unknown, f"add {sorted(unknown)} to ROWS in {Path(__file__).name}: below all that it imports"


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import sdrs_async.models", ["models"]),
        ("from sdrs_async.models import Target", ["models"]),
        ("from sdrs_async import errors, models", ["errors", "models"]),
        ("from . import errors", ["errors"]),
        ("from .models import Target", ["models"]),
        ("def late():\n    from sdrs_async import errors", ["errors"]),
        ("from sdrs_async import Target", ["__init__"]),
        ("import sdrs_async", ["__init__"]),
        ("if TYPE_CHECKING:\n    from sdrs_async import errors\nelse:\n    import sdrs_async.models", ["models"]),
        ("import asyncio, aiohttp", []),
    ],
)
def test_every_way_to_import_is_seen(source: str, imported: list[str]) -> None:
    """However an import is spelled, the layer test sees the module behind it."""
    assert list(_imports(source, PACKAGE / "engine.py")) == imported


def test_importing_the_library_needs_no_extra() -> None:
    """All that `sdrs_async` offers loads no library of an extra, neither the command nor the simulator."""
    code = f"import sys; from sdrs_async import *; print(*sys.modules.keys() & {LAZY!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.split() == []
