"""The flags of the command: their help texts, and what they and the environment come to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from sdrs_async.auth import StaticToken
from sdrs_async.errors import ConfigError
from sdrs_async.models import Limits, Rate, RetryPolicy

T = TypeVar("T")

_SELECT = "What to clean"
_CONNECT = "Connection"
_LIMITS = "Limits"
_TRIES = "Tries"
_OUTPUT = "Output"
_SERVER = "The simulated fleet"


class Level(StrEnum):
    """How much is logged to stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Format(StrEnum):
    """What a report can be shown as."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


# ---- flags

Targets = Annotated[
    str,
    typer.Option(
        "--targets",
        metavar="FILE|-",
        help="The protection groups: CSV with a project_id,server_group_id header, JSON Lines with these keys, or "
        "lines of project/group; - reads stdin. Checked to its end before anything is sent.",
        rich_help_panel=_SELECT,
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, show what would be done, send nothing.", rich_help_panel=_SELECT),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", help="Do not ask; needed where there is no terminal to ask on.", rich_help_panel=_SELECT
    ),
]
Endpoint = Annotated[
    str,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="The service, like https://sdrs.eu-de.otc.t-systems.com.",
        rich_help_panel=_CONNECT,
        show_default=False,
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="PEM certificates to trust instead of the system's (default: OS_CACERT). Certificates are always checked.",
        rich_help_panel=_CONNECT,
        show_default=False,
    ),
]
AllowHttp = Annotated[
    bool,
    typer.Option(
        "--allow-http",
        help="Let the credential leave this machine over plain http, readable on the way.",
        rich_help_panel=_CONNECT,
    ),
]


def _limit(flag: str, what: str) -> Any:
    return typer.Option(flag, metavar="LIMIT", help=what, rich_help_panel=_LIMITS)


ProjectRate = Annotated[str, _limit("--project-rate", "Requests per project, like 10/s or 200/5min.")]
ProjectConcurrency = Annotated[str, _limit("--project-concurrency", "Requests at a time per project.")]
UserRate = Annotated[str, _limit("--user-rate", "Requests of this credential over all projects, like 50/s.")]
EndpointRate = Annotated[str, _limit("--endpoint-rate", "Requests to the endpoint over all projects.")]
Concurrency = Annotated[str, _limit("--concurrency", "Requests at a time in all. For each of these, none lifts it.")]


def _tries(flag: str, what: str, unit: str) -> Any:
    return typer.Option(flag, metavar=unit, help=what, rich_help_panel=_TRIES)


Attempts = Annotated[int, _tries("--attempts", "Tries per group; throttled ones (429) do not count.", "NUMBER")]
Timeout = Annotated[float, _tries("--timeout", "Seconds per try.", "SECONDS")]
RetryTime = Annotated[
    float, _tries("--retry-time", "Seconds per group in all, from its first try, throttling included.", "SECONDS")
]


def _output(flag: str, what: str, metavar: str = "FILE|-") -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel=_OUTPUT, show_default=False)


Json = Annotated[str | None, _output("--json", "Write the report as JSON, with every failure; - is stdout.")]
Results = Annotated[
    str | None,
    _output("--results", "Write one JSON line per group as it settles; - is stdout.", "FILE.jsonl|-"),
]
Html = Annotated[str | None, _output("--html", "Write the report as one self-contained HTML page; - is stdout.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress and no notes; the result is still printed.", rich_help_panel=_OUTPUT
    ),
]
LogLevel = Annotated[Level, typer.Option("--log-level", help="What is logged to stderr.", rich_help_panel=_OUTPUT)]


Reports = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="JSON reports, of different runs; - reads stdin.", show_default=False),
]
ReportFormat = Annotated[Format, typer.Option("--format", help="How to show it.")]
ReportOutput = Annotated[str, typer.Option("--output", "-o", metavar="FILE|-", help="Where to write it; - is stdout.")]


def _server(flag: str, what: str, metavar: str, low: int | None = None, high: int | None = None) -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel=_SERVER, min=low, max=high)


Port = Annotated[int, _server("--port", "Port on 127.0.0.1; 0 takes any free one.", "NUMBER", low=0, high=65535)]
Projects = Annotated[int, _server("--projects", "Projects.", "NUMBER", low=0)]
Groups = Annotated[int, _server("--groups", "Protection groups per project.", "NUMBER", low=0)]
FailedTasks = Annotated[int, _server("--failed-tasks", "Failed tasks per group.", "NUMBER", low=0)]
Seed = Annotated[int, _server("--seed", "Ids, credentials and faults follow from it.", "NUMBER")]
Latency = Annotated[float, _server("--latency", "Seconds from a request to its answer.", "SECONDS", low=0)]
ServerProjectRate = Annotated[
    str, _server("--project-rate", "Requests per project, like 10/s; more get a 429.", "LIMIT")
]
ServerUserRate = Annotated[str, _server("--user-rate", "Requests per user, like 50/s; more get a 429.", "LIMIT")]
Faults = Annotated[
    list[str] | None,
    _server(
        "--fault",
        "What goes wrong, repeatable: a status, latency, hang, reset-before, reset-after, cut-off or wrong-json, and "
        "its share of the requests: 503=5%, 429=0.02, latency=2%:0.5, 404@list_groups=1.",
        "KIND[@ROUTE]=SHARE[:SECONDS]",
    ),
]


# ---- what they come to


def limits(project_rate: str, project_concurrency: str, user_rate: str, endpoint_rate: str, concurrency: str) -> Limits:
    """The limits that the flags ask for; `ConfigError` names the flag."""
    return Limits(
        project_rate=_read("--project-rate", _rate, project_rate),
        project_concurrency=_read("--project-concurrency", _cap, project_concurrency),
        user_rate=_read("--user-rate", _rate, user_rate),
        endpoint_rate=_read("--endpoint-rate", _rate, endpoint_rate),
        concurrency=_read("--concurrency", _cap, concurrency),
    )


def retry_policy(attempts: int, timeout: float, retry_time: float) -> RetryPolicy:
    """The retry policy that the flags ask for; `ConfigError` names the flag."""
    if attempts < 1:
        raise ConfigError(f"--attempts: {attempts} is not a number of tries: use 1 or more")
    for flag, seconds in (("--timeout", timeout), ("--retry-time", retry_time)):
        if not 0 < seconds < math.inf:
            raise ConfigError(f"{flag}: {seconds:g} is not a time in seconds: use a number above 0")
    return RetryPolicy(attempts=attempts, timeout=timeout, total=retry_time)


def _read(flag: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{flag}: {error}") from None


def _rate(text: str) -> Rate | None:
    try:
        return Rate.parse(text)
    except ConfigError as error:
        # Of a rate that can be read and allows nothing, only the numbers would be named.
        if repr(text) in str(error):
            raise
        raise ConfigError(f"{text!r} is not a rate: use a count of at least 1 and a time above 0, or none") from None


def _cap(text: str) -> int | None:
    if text.strip().lower() == "none":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise ConfigError(f"{text!r} is not a number of requests: use 1 or more, or none")
    return int(text)


def token_from_environment() -> StaticToken:
    """The credential; `ConfigError` when there is none. Never a flag: flags are seen by every user of the machine."""
    token = os.environ.get("OS_TOKEN", "")
    if not token:
        raise ConfigError("no token: OS_TOKEN is not set in the environment (for one, see: openstack token issue)")
    try:
        return StaticToken(token)
    except ConfigError as error:
        raise ConfigError(f"OS_TOKEN: {error}") from None


def ca_file_or_default(flag: str | None) -> str | None:
    """`--ca-file`, else OS_CACERT; an empty one is none."""
    return flag or os.environ.get("OS_CACERT") or None
