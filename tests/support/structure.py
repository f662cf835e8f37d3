"""The rooms of the package and the arrows between them, read from its imports: `python -m tests.support.structure`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "sdrs_async"
# From the ground up: a room imports only from those before it. A module at the top of the package is a room of its own.
ROOMS = (
    "errors",
    "limits",
    "models",
    "transport",
    "auth",
    "pace",
    "cloud",
    "credentials",
    "report",
    "formats",
    "accounts",
    "engine",
    "run",
    "cleanup",
    "session",
    "api",
    "doctor",
    "laboratory",
    "simulator",
    "command",
)
# The public door shows the library and nothing of the command; the other starts the command.
DOOR, MAIN = "__init__", "__main__"

Arrows = Mapping[str, frozenset[str]]
"""What each module, or each room, imports."""


def module_of(path: Path, package: Path = PACKAGE) -> str:
    """The dotted name of a file below the package."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def room_of(module: str) -> str:
    """The room that a module is in."""
    return module.partition(".")[0]


def imports(source: str, path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """The modules of the package that a file imports at run time, inside functions too; those for typing are free."""
    for node in _runtime_nodes(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(node, path, package)
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            top, *rest = name.split(".")
            if top == package.name:
                yield _known(rest, package)


@cache
def modules(package: Path = PACKAGE) -> Arrows:
    """What each module imports."""
    return {
        module_of(path, package): frozenset(imports(path.read_text("utf-8"), path, package))
        for path in sorted(package.rglob("*.py"))
    }


def rooms(arrows: Arrows) -> Arrows:
    """What each room imports of others. The doors are in none: they show what the rooms are."""
    found: dict[str, set[str]] = {}
    for module, imported in arrows.items():
        if (room := room_of(module)) not in (DOOR, MAIN):
            found.setdefault(room, set()).update({room_of(each) for each in imported} - {room, DOOR})
    return {room: frozenset(imported) for room, imported in found.items()}


def climbing(arrows: Arrows) -> list[str]:
    """The arrows that lead upwards, each as one line."""
    place = {room: number for number, room in enumerate(ROOMS)}
    return [
        f"{room} -> {other}"
        for room, others in sorted(arrows.items())
        for other in sorted(others)
        if place.get(other, len(place)) >= place.get(room, -1)
    ]


def circles(arrows: Arrows) -> list[frozenset[str]]:
    """The circles: modules, or rooms, each of which needs all the others of its circle."""
    reached = {start: _reached(start, arrows) for start in arrows}
    return sorted(
        {frozenset(other for other in reached[one] if one in reached.get(other, ())) for one in arrows} - {frozenset()},
        key=sorted,
    )


def floors(arrows: Arrows) -> int:
    """How many floors the rooms stand on: the longest way down. Endless where there is a circle."""
    heights: dict[str, int] = {}

    def height(room: str) -> int:
        if room not in heights:
            heights[room] = 1 + max(map(height, arrows.get(room, ())), default=0)
        return heights[room]

    return max(map(height, arrows))


def _reached(start: str, arrows: Arrows) -> set[str]:
    seen: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        if (each := waiting.pop()) not in seen:
            seen.add(each)
            waiting += arrows.get(each, ())
    return seen


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


def _absolute(node: ast.ImportFrom, path: Path, package: Path) -> str:
    """Spell out what a relative import is relative to."""
    if not node.level:
        return node.module or ""
    parts = (package.name, *path.relative_to(package).parts[:-1])
    base = parts[: len(parts) - node.level + 1]
    return ".".join((*base, node.module) if node.module else base)


def _known(parts: Sequence[str], package: Path) -> str:
    """Name the module that a dotted path leads to; what is no module is a name that its package's door offers."""
    for length in range(len(parts), 0, -1):
        place = package.joinpath(*parts[:length])
        if place.is_dir() or place.with_suffix(".py").exists():
            return ".".join(parts[:length])
    return DOOR


def main() -> None:
    """Print the rooms with what each imports, and the figures."""
    by_room = rooms(modules())
    for room in reversed(ROOMS):
        print(f"{room:12} -> {' '.join(one for one in ROOMS if one in by_room[room])}")
    arrows = sum(map(len, by_room.values()))
    loops = circles(by_room) + circles(modules())
    print(
        f"\n{len(by_room)} rooms, {floors(by_room)} floors, {arrows} arrows, {len(climbing(by_room))} climbing,",
        end=" ",
    )
    print(f"{len(loops)} circles")


if __name__ == "__main__":
    main()
