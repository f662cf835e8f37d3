"""The flags of the command `simulate`, each with its help text."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

_PANEL = "The simulated fleet"


class WindowKind(StrEnum):
    """How the simulated gateway counts."""

    SLIDING = "sliding"
    FIXED = "fixed"
    BUCKET = "bucket"


def _flag(flag: str, what: str, metavar: str, low: int | None = None, high: int | None = None) -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel=_PANEL, min=low, max=high)


Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- COMMAND ARG",
        help="What runs beside the server, with its credentials; the server ends with it.",
        show_default=False,
    ),
]
Port = Annotated[int, _flag("--port", "Port on 127.0.0.1; 0 takes any free one.", "NUMBER", low=0, high=65535)]
Projects = Annotated[int, _flag("--projects", "Projects.", "NUMBER", low=0)]
Groups = Annotated[int, _flag("--groups", "Protection groups per project.", "NUMBER", low=0)]
FailedTasks = Annotated[int, _flag("--failed-tasks", "Failed tasks per group.", "NUMBER", low=0)]
Seed = Annotated[int, _flag("--seed", "Ids, credentials and faults follow from it.", "NUMBER")]
Latency = Annotated[float, _flag("--latency", "Seconds from a request to its answer.", "SECONDS", low=0)]
Jitter = Annotated[
    float, _flag("--jitter", "A random part of up to so many seconds on top of the latency.", "SECONDS", low=0)
]
ProjectRate = Annotated[str, _flag("--project-rate", "Requests per project, like 10/s; more get a 429.", "LIMIT")]
UserRate = Annotated[str, _flag("--user-rate", "Requests per user, like 200/5min; more get a 429.", "LIMIT")]
EndpointRate = Annotated[str, _flag("--endpoint-rate", "Requests in all; more get a 429.", "LIMIT")]
AddressRate = Annotated[str, _flag("--address-rate", "Requests per source address; more get a 429.", "LIMIT")]
Window = Annotated[
    WindowKind, _flag("--window", "How these limits are counted: sliding, fixed, or bucket (of tokens).", "KIND")
]
HiddenLimits = Annotated[
    bool, typer.Option("--hidden-limits", help="A 429 does not tell the limit.", rich_help_panel=_PANEL)
]
CountRefused = Annotated[
    bool,
    typer.Option("--count-refused", help="What gets a 429 uses up the limit as well.", rich_help_panel=_PANEL),
]
Faults = Annotated[
    list[str] | None,
    _flag(
        "--fault",
        "What goes wrong, repeatable: a status, latency, hang, reset-before, reset-after, cut-off, wrong-json or "
        "close, and its share of the requests: 503=5%, 429=0.02, latency=2%:0.5, 404@list_groups=1.",
        "KIND[@ROUTE]=SHARE[:SECONDS]",
    ),
]
