"""Who writes the attributes of the package's classes, read from its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.structure import PACKAGE, module_of, room_of

# They model servers, and are judged by their answers.
EXEMPT = {"simulator", "laboratory"}
# The modules of these rooms may write the plain data (dataclasses) of their own room.
PLAIN = {"engine", "pace"}


@dataclass(frozen=True)
class Class:
    """A class of the package. `attributes`: all that its methods assign to `self`, or its fields where it is data.

    `is_record`: it is a dataclass.
    """

    module: str
    name: str
    is_data: bool
    is_record: bool
    attributes: frozenset[str]


def classes(package: Path = PACKAGE) -> list[Class]:
    """All classes outside of the exempt rooms."""
    return [
        _class(module, node)
        for module, tree in _modules(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]


def written_outside(package: Path = PACKAGE) -> list[str]:
    """Assignments to an attribute of a class by code that is not of that class, each as `module:line: target`.

    A class is known by the names of its attributes: one that only other libraries have is nobody's here.
    """
    every = classes(package)
    owned = {name for one in every for name in one.attributes}
    found = []
    for module, tree in _modules(package).items():
        own = {one.name: one.attributes for one in every if one.module == module}
        for target, within in _assigned(tree):
            holder = ast.unparse(target.value)
            if holder in ("self", "cls") or target.attr in own.get(within, ()) or _is_plain(target.attr, module, every):
                continue
            if target.attr in owned:
                found.append(f"{module}:{target.lineno}: {ast.unparse(target)}")
    return found


def setters(package: Path = PACKAGE) -> list[str]:
    """Methods that do nothing but assign what they are given: an attribute by another name."""
    return [
        f"{module}: {node.name}.{method.name}"
        for module, tree in _modules(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef) and _only_assigns(method)
    ]


def _is_plain(attribute: str, module: str, every: list[Class]) -> bool:
    """Whether it is a field of plain data that the module may write, and of nothing else there or in its room."""
    room = room_of(module)
    near = [one for one in every if one.module == module and attribute in one.attributes]
    owners = near or [one for one in every if room_of(one.module) == room and attribute in one.attributes]
    return room in PLAIN and any(one.is_record for one in owners) and all(one.is_data for one in owners)


def _only_assigns(method: ast.FunctionDef) -> bool:
    names = {argument.arg for argument in method.args.args[1:]}
    body = [each for each in method.body if not isinstance(each, ast.Expr)]
    return method.name != "__init__" and len(body) == 1 and _is_plain_assignment(body[0], names)


def _is_plain_assignment(node: ast.stmt, names: set[str]) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in names
    )


@cache
def _modules(package: Path) -> dict[str, ast.Module]:
    paths = {module_of(path, package): path for path in sorted(package.rglob("*.py"))}
    return {
        module: ast.parse(path.read_text("utf-8")) for module, path in paths.items() if room_of(module) not in EXEMPT
    }


def _class(module: str, node: ast.ClassDef) -> Class:
    marks = [ast.unparse(one) for one in (*node.decorator_list, *node.bases)]
    is_record = any("dataclass" in one for one in marks)
    is_data = is_record or any(one in ("NamedTuple", "Protocol", "Enum", "StrEnum") for one in marks)
    fields = {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)} if is_data else set()
    assigned = {target.attr for target, _ in _assigned(node) if ast.unparse(target.value) == "self"}
    return Class(module, node.name, is_data, is_record, frozenset(fields | assigned))


def _assigned(tree: ast.AST, within: str = "") -> Iterator[tuple[ast.Attribute, str]]:
    """Every attribute that is assigned to, with the name of the class in whose code that stands."""
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.ClassDef) else within
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node, inside
        yield from _assigned(node, inside)
