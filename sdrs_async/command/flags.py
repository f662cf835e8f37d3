"""The flags of the commands, each with its help text. Those of `--json` and its like follow from the formats."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from inspect import Parameter
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from sdrs_async.accounts.sources import CredentialKind, Signature


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


class Group:
    """Flags that belong together. A command that has a parameter of this type has all of them, and gets their values.

    Each is an attribute that is annotated with one of the flags below, and set to its default.
    """

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """The flags as typer takes them, in the order of the help."""
        hints = get_type_hints(cls, include_extras=True)
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=hint, default=getattr(cls, name))
            for name, hint in hints.items()
            if get_origin(hint) is Annotated
        ]


def flag(panel: str, name: str, what: str, metavar: str | None = None, *, short: str = "", **more: Any) -> Any:
    """A flag in a panel of the help."""
    names = (name, short) if short else (name,)
    return typer.Option(*names, help=what, metavar=metavar, rich_help_panel=panel, **more)


_select = partial(flag, "What to clean", show_default=False)
_connect = partial(flag, "Connection", show_default=False)
_limit = partial(flag, "Limits", metavar="LIMIT")
_tries = partial(flag, "Tries")
_simulation = partial(flag, "Simulation", show_default=False)
output = partial(flag, "Output", show_default=False)

# ---- what to clean

Targets = Annotated[
    str | None,
    _select(
        "--targets",
        "The protection groups: CSV with a project_id,server_group_id header (comma, semicolon or TAB), JSON "
        "Lines or a JSON array with these keys, a results file, or lines of project/group; - reads stdin. "
        "Checked to its end before anything is sent. With --fleet each line goes to the account that it names "
        "(account), as those of a results file do.",
        "FILE|-",
    ),
]
AnyIds = Annotated[
    bool,
    _select(
        "--any-ids",
        "With --targets: take ids that do not look like the service's, too. One that no group has counts as "
        "already gone.",
    ),
]
Project = Annotated[
    list[str] | None,
    _select(
        "--project",
        "All protection groups of this project, repeatable: its id, its name, or a pattern with * or ? for either.",
        "PROJECT",
    ),
]
OneProject = Annotated[
    str | None,
    _select("--project", "The project to read, by its id; without it the first that can be listed.", "ID"),
]
AllProjects = Annotated[
    bool, _select("--all-projects", "All protection groups of all projects that the credential may use.")
]
Fleet = Annotated[
    str | None,
    _select(
        "--fleet",
        "Several clouds and accounts, each with its projects, from a TOML file; flags of the connection do not "
        "go with it, and limits given as flags win over those of the file. With --targets only the groups of "
        "that list.",
        "FILE",
    ),
]
ProjectLevel = Annotated[
    bool,
    _select(
        "--project-level",
        "Also make one call per project that deletes the failed tasks of the groups themselves, whose creation "
        "or deletion failed. It touches none of the failed tasks inside groups: these are deleted group by group.",
    ),
]
DryRun = Annotated[bool, _select("--dry-run", "Check everything, show what would be done, delete nothing.")]
Yes = Annotated[bool, _select("--yes", "Do not ask; needed where there is no terminal to ask on.", short="-y")]

# ---- connection

Endpoint = Annotated[
    str | None,
    _connect(
        "--endpoint",
        "The service, like https://sdrs.eu-de.otc.t-systems.com. Default: what the sign-in names, or the region.",
        "URL",
    ),
]
Region = Annotated[
    str | None,
    _connect("--region", "Like eu-de: the hosts follow from it (default: OS_REGION_NAME).", "REGION"),
]
IamEndpoint = Annotated[
    str | None,
    _connect(
        "--iam-endpoint",
        "Where projects are listed, with or without /v3. Default: what the credential or the environment names, "
        "or the region.",
        "URL",
    ),
]
OsCloud = Annotated[
    str | None,
    _connect("--os-cloud", "A cloud of clouds.yaml, for credential and region (default: OS_CLOUD).", "NAME"),
]
Credential = Annotated[
    CredentialKind,
    _connect(
        "--credential",
        "Where the credential comes from. token: OS_TOKEN, or OS_AUTH_TOKEN; ak-sk: HUAWEICLOUD_SDK_AK and _SK, "
        "OS_ACCESS_KEY and OS_SECRET_KEY, HW_ACCESS_KEY and HW_SECRET_KEY, or with --os-cloud the cloud's ak and "
        "sk; openstack: clouds.yaml or the OS_* variables; huawei: ~/.huaweicloud/credentials, or else what the "
        "vendor's SDK finds. auto: the first of --os-cloud, token, ak-sk, openstack, the credentials file.",
        "KIND",
        show_default=True,
    ),
]
SignatureForm = Annotated[
    Signature,
    _connect(
        "--signature",
        "How an access key signs: access, or credential, the older form, which names the region.",
        "FORM",
        show_default=True,
    ),
]
CaFile = Annotated[
    str | None,
    _connect(
        "--ca-file",
        "PEM certificates to trust instead of the system's, for the sign-in too (default: cacert of clouds.yaml, "
        "OS_CACERT, REQUESTS_CA_BUNDLE). It wins over verify: false of clouds.yaml.",
        "FILE",
    ),
]
AllowHttp = Annotated[
    bool,
    _connect("--allow-http", "Let the credential leave this machine over plain http, readable on the way."),
]

# ---- limits and tries

ProjectRate = Annotated[
    str,
    _limit(
        "--project-rate",
        'Requests per project, like 10/s or 200/5min; "200/5min burst 20": besides, at most 20 in any second. A '
        "lower limit that a 429 shows is kept to as well, for every rate here, and the summary names it.",
    ),
]
ProjectConcurrency = Annotated[str, _limit("--project-concurrency", "Requests at a time per project.")]
UserRate = Annotated[str, _limit("--user-rate", "Requests of this credential over all projects, like 200/5min.")]
EndpointRate = Annotated[str, _limit("--endpoint-rate", "Requests to the endpoint over all projects.")]
Concurrency = Annotated[str, _limit("--concurrency", "Requests at a time in all. For each of these, none lifts it.")]
Attempts = Annotated[int, _tries("--attempts", "Tries per group; throttled ones (429) do not count.", "NUMBER")]
Timeout = Annotated[float, _tries("--timeout", "Seconds per try.", "SECONDS")]
RetryTime = Annotated[
    float,
    _tries("--retry-time", "Seconds per group in all, from its first try, throttling included.", "SECONDS"),
]

# ---- simulation

Simulate = Annotated[
    bool,
    _simulation(
        "--simulate",
        "Also run the plan in virtual time against a gateway that has the configured limits, or those of "
        "--gateway: how long it would take, what would be throttled and learned. Nothing is sent for it.",
    ),
]
Gateways = Annotated[
    list[str] | None,
    _simulation(
        "--gateway",
        "A limit that the simulated gateway has, repeatable: project, user, address or endpoint with a rate, "
        'like "user=200/5min"; then, if wanted, window=sliding|fixed|bucket|leaky, capacity=NUMBER (of the last '
        "two), told=yes|no (whether its 429 names it), refusals=counted|free, then=COUNT@SECONDS (another count "
        "later).",
        "SPEC",
    ),
]

# ---- output

PlanJson = Annotated[str | None, output("--json", "Write the plan as JSON; - is stdout.", "FILE|-")]
Quiet = Annotated[
    bool,
    output(
        "--quiet",
        "Print the result alone: of a cleanup one line. No progress and no notes; errors still go to stderr.",
        short="-q",
    ),
]
LogLevel = Annotated[
    Level,
    output(
        "--log-level",
        "What is logged to stderr. info: each failure, each sign-in, each limit met; debug: each request.",
        show_default=True,
    ),
]
LogFormat = Annotated[
    LogLines,
    output("--log-format", "How it is logged: one line per record, of text or of JSON.", show_default=True),
]
