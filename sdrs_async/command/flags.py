"""The flags of the commands, each with its help text."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from sdrs_async.accounts.sources import CredentialKind, Signature

_SELECT = "What to clean"
_CONNECT = "Connection"
_LIMITS = "Limits"
_TRIES = "Tries"
_SIMULATION = "Simulation"
_OUTPUT = "Output"


class Level(StrEnum):
    """How much is logged to stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogLines(StrEnum):
    """How a log record is written."""

    TEXT = "text"
    JSON = "json"


class Format(StrEnum):
    """What a report can be shown as."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


# ---- flags


def _select(flag: str, metavar: str, what: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel=_SELECT, show_default=False)


Targets = Annotated[
    str | None,
    _select(
        "--targets",
        "FILE|-",
        "The protection groups: CSV with a project_id,server_group_id header (comma, semicolon or TAB), JSON Lines or "
        "a JSON array with these keys, a results file, or lines of project/group; - reads stdin. Checked to its end "
        "before anything is sent. With --fleet each line goes to the account that it names (account), as those of a "
        "results file do.",
    ),
]
AnyIds = Annotated[
    bool,
    typer.Option(
        "--any-ids",
        help="With --targets: take ids that do not look like the service's, too. One that no group has counts as "
        "already gone.",
        rich_help_panel=_SELECT,
    ),
]
Project = Annotated[
    list[str] | None,
    _select(
        "--project",
        "PROJECT",
        "All protection groups of this project, repeatable: its id, its name, or a pattern with * or ? for either.",
    ),
]
OneProject = Annotated[
    str | None, _select("--project", "ID", "The project to read, by its id; without it the first that can be listed.")
]
AllProjects = Annotated[
    bool,
    typer.Option(
        "--all-projects",
        help="All protection groups of all projects that the credential may use.",
        rich_help_panel=_SELECT,
    ),
]
Fleet = Annotated[
    str | None,
    _select(
        "--fleet",
        "FILE",
        "Several clouds and accounts, each with its projects, from a TOML file; flags of the connection do not go with "
        "it, and limits given as flags win over those of the file. With --targets only the groups of that list.",
    ),
]
ProjectLevel = Annotated[
    bool,
    typer.Option(
        "--project-level",
        help="Also make one call per project that deletes the failed tasks of the groups themselves, whose creation or "
        "deletion failed. It touches none of the failed tasks inside groups: these are deleted group by group.",
        rich_help_panel=_SELECT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check everything, show what would be done, delete nothing.", rich_help_panel=_SELECT
    ),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", help="Do not ask; needed where there is no terminal to ask on.", rich_help_panel=_SELECT
    ),
]


def _connect(flag: str, metavar: str, what: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel=_CONNECT, show_default=False)


Endpoint = Annotated[
    str | None,
    _connect(
        "--endpoint",
        "URL",
        "The service, like https://sdrs.eu-de.otc.t-systems.com. Default: what the sign-in names, or the region.",
    ),
]
Region = Annotated[
    str | None, _connect("--region", "REGION", "Like eu-de: the hosts follow from it (default: OS_REGION_NAME).")
]
IamEndpoint = Annotated[
    str | None,
    _connect(
        "--iam-endpoint",
        "URL",
        "Where projects are listed, with or without /v3. Default: what the credential or the environment names, or the "
        "region.",
    ),
]
OsCloud = Annotated[
    str | None, _connect("--os-cloud", "NAME", "A cloud of clouds.yaml, for credential and region (default: OS_CLOUD).")
]
Credential = Annotated[
    CredentialKind,
    typer.Option(
        "--credential",
        metavar="KIND",
        help="Where the credential comes from. token: OS_TOKEN, or OS_AUTH_TOKEN; ak-sk: HUAWEICLOUD_SDK_AK and _SK, "
        "OS_ACCESS_KEY and OS_SECRET_KEY, HW_ACCESS_KEY and HW_SECRET_KEY, or with --os-cloud the cloud's ak and sk; "
        "openstack: clouds.yaml or the OS_* variables; huawei: ~/.huaweicloud/credentials, or else what the vendor's "
        "SDK finds. auto: the first of --os-cloud, token, ak-sk, openstack, the credentials file.",
        rich_help_panel=_CONNECT,
    ),
]
SignatureForm = Annotated[
    Signature,
    typer.Option(
        "--signature",
        metavar="FORM",
        help="How an access key signs: access, or credential, the older form, which names the region.",
        rich_help_panel=_CONNECT,
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="PEM certificates to trust instead of the system's, for the sign-in too (default: cacert of clouds.yaml, "
        "OS_CACERT, REQUESTS_CA_BUNDLE). It wins over verify: false of clouds.yaml.",
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


ProjectRate = Annotated[
    str,
    _limit(
        "--project-rate",
        'Requests per project, like 10/s or 200/5min; "200/5min burst 20": besides, at most 20 in any second. '
        "A lower limit that a 429 shows is kept to as well, for every rate here, and the summary names it.",
    ),
]
ProjectConcurrency = Annotated[str, _limit("--project-concurrency", "Requests at a time per project.")]
UserRate = Annotated[str, _limit("--user-rate", "Requests of this credential over all projects, like 200/5min.")]
EndpointRate = Annotated[str, _limit("--endpoint-rate", "Requests to the endpoint over all projects.")]
Concurrency = Annotated[str, _limit("--concurrency", "Requests at a time in all. For each of these, none lifts it.")]


Simulate = Annotated[
    bool,
    typer.Option(
        "--simulate",
        help="Also run the plan in virtual time against a gateway that has the configured limits, or those of "
        "--gateway: how long it would take, what would be throttled and learned. Nothing is sent for it.",
        rich_help_panel=_SIMULATION,
    ),
]
Gateways = Annotated[
    list[str] | None,
    typer.Option(
        "--gateway",
        metavar="SPEC",
        help="A limit that the simulated gateway has, repeatable: project, user, address or endpoint with a rate, like "
        '"user=200/5min"; then, if wanted, window=sliding|fixed|bucket|leaky, capacity=NUMBER (of the last two), '
        "told=yes|no (whether its 429 names it), refusals=counted|free, then=COUNT@SECONDS (another count later).",
        rich_help_panel=_SIMULATION,
        show_default=False,
    ),
]


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
PlanJson = Annotated[str | None, _output("--json", "Write the plan as JSON; - is stdout.")]
Results = Annotated[
    str | None,
    _output("--results", "Write one JSON line per group as it settles; - is stdout.", "FILE.jsonl|-"),
]
Html = Annotated[str | None, _output("--html", "Write the report as one self-contained HTML page; - is stdout.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print the result alone: of a cleanup one line. No progress and no notes; errors still go to stderr.",
        rich_help_panel=_OUTPUT,
    ),
]
LogLevel = Annotated[
    Level,
    typer.Option(
        "--log-level",
        help="What is logged to stderr. info: each failure, each sign-in, each limit met; debug: each request.",
        rich_help_panel=_OUTPUT,
    ),
]
LogFormat = Annotated[
    LogLines,
    typer.Option(
        "--log-format", help="How it is logged: one line per record, of text or of JSON.", rich_help_panel=_OUTPUT
    ),
]


Reports = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="JSON reports, of different runs; - reads stdin.", show_default=False),
]
ReportFormat = Annotated[Format, typer.Option("--format", help="How to show it.")]
ReportOutput = Annotated[str, typer.Option("--output", "-o", metavar="FILE|-", help="Where to write it; - is stdout.")]
