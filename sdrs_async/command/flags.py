"""How a command comes by its flags: each alone, or in groups that several commands share."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from functools import partial
from inspect import Parameter
from typing import Annotated, Any, get_type_hints

import typer


def flag(
    panel: str,
    what: str,
    metavar: str | None = None,
    *,
    default: Any = None,
    name: str = "",
    short: str = "",
    **more: Any,
) -> Any:
    """A flag in a panel of the help: the default of a parameter of a command, or of a field of a `Group`.

    It is called as that is, but where it has another `name`.
    """
    option = partial(typer.Option, help=what, metavar=metavar, rich_help_panel=panel, **more)
    return field(default=default, metadata={"option": option, "name": name, "short": [short] * bool(short)})


select = partial(flag, "What to clean", show_default=False)
connect = partial(flag, "Connection", show_default=False)
limit = partial(flag, "Limits", metavar="LIMIT")
tries = partial(flag, "Tries")
simulation = partial(flag, "Simulation", show_default=False)
simulated = partial(flag, "The simulated fleet")
output = partial(flag, "Output", show_default=False)


def parameter(name: str, hint: Any, given: Field[Any]) -> Parameter:
    """A flag as typer takes it."""
    words = given.metadata["name"] or f"--{name.replace('_', '-')}"
    option = given.metadata["option"](words, *given.metadata["short"])
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=Annotated[hint, option], default=given.default)


@dataclass(frozen=True)
class Group:
    """Flags that belong together. A command that has a parameter of this type has all of them, and gets their values.

    Each is a field of a dataclass that is set to a `flag`.
    """

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """The flags as typer takes them, in the order of the help."""
        hints = get_type_hints(cls)
        return [parameter(each.name, hints[each.name], each) for each in fields(cls) if "option" in each.metadata]
