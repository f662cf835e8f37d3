"""From flags to what a command is given: groups of flags that commands share, and what these come to."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
from enum import StrEnum
from functools import wraps
from typing import Any, get_type_hints

import typer

from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked, CredentialKind, Signature
from sdrs_async.command.endings import reported
from sdrs_async.command.flags import Group, connect, limit, output, parameter, select, tries
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate, RetryPolicy

_LIMITS = Limits()
_RETRY = RetryPolicy()
_NAMES = ("project_rate", "project_concurrency", "user_rate", "endpoint_rate", "concurrency")


def with_flags(command: Callable[..., int]) -> Callable[..., None]:
    """The command as typer takes it: its parameters are flags, and each `Group` among them stands for all of its own.

    It ends with the exit code that the command returns, or with that of the error that stops it, which is told. What is
    logged goes by its parameter `talk`, where it has one.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Group]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Group)
    }
    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for name, own in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += groups[name].parameters()
        elif isinstance(own.default, Field):
            parameters.append(parameter(name, hints[name], own.default))
        else:
            parameters.append(own.replace(annotation=hints[name]))

    @wraps(command)
    def run(context: typer.Context, **values: Any) -> None:
        given = frozenset(name for name in values if _is_given(context, name))
        values |= {name: _filled(group, values, given) for name, group in groups.items()}
        talk = values.get("talk", Talk())
        with reported(talk.log_level, as_json=talk.log_format is LogLines.JSON):
            raise typer.Exit(command(**values))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what `inspect.signature` looks for first
    return run


def _filled(group: type[Group], values: dict[str, Any], given: frozenset[str]) -> Group:
    """The group with its own of the values, which are taken out of these."""
    own = {each.name: values.pop(each.name) for each in group.parameters()}
    return group(**own, given=given & own.keys()) if issubclass(group, Connecting) else group(**own)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


# ---- groups of flags

FLEET = select(
    "Several clouds and accounts, each with its projects, from a TOML file; flags of the connection do not "
    "go with it, and limits given as flags win over those of the file. With --targets only the groups of "
    "that list.",
    "FILE",
)


Level = StrEnum("Level", ["DEBUG", "INFO", "WARNING", "ERROR"])
LogLines = StrEnum("LogLines", ["TEXT", "JSON"])


@dataclass(frozen=True)
class Talk(Group):
    """How much is said beside the result."""

    quiet: bool = output(
        "Print the result alone: of a cleanup one line. No progress and no notes; errors still go to stderr.",
        default=False,
        short="-q",
    )
    log_level: Level = output(
        "What is logged to stderr. info: each failure, each sign-in, each limit met; debug: each request.",
        default=Level.WARNING,
        show_default=True,
    )
    log_format: LogLines = output(
        "How it is logged: one line per record, of text or of JSON.", default=LogLines.TEXT, show_default=True
    )


@dataclass(frozen=True)
class Selecting(Group):
    """What is to be cleaned: a list of targets, projects to look into, or what a fleet file names, all of it or a list.

    With both `targets` and `fleet`, the targets of the list are those of the fleet's accounts, and what the fleet file
    selects is left alone.
    """

    targets: str | None = select(
        "The protection groups: CSV with a project_id,server_group_id header (comma, semicolon or TAB), JSON "
        "Lines or a JSON array with these keys, a results file, or lines of project/group; - reads stdin. "
        "Checked to its end before anything is sent. With --fleet each line goes to the account that it names "
        "(account), as those of a results file do.",
        "FILE|-",
    )
    any_ids: bool = select(
        "With --targets: take ids that do not look like the service's, too. One that no group has counts as "
        "already gone.",
        default=False,
    )
    project: list[str] | None = select(
        "All protection groups of this project, repeatable: its id, its name, or a pattern with * or ? for either.",
        "PROJECT",
    )
    all_projects: bool = select("All protection groups of all projects that the credential may use.", default=False)
    fleet: str | None = FLEET
    project_level: bool = select(
        "Also make one call per project that deletes the failed tasks of the groups themselves, whose creation "
        "or deletion failed. It touches none of the failed tasks inside groups: these are deleted group by group.",
        default=False,
    )

    def check(self) -> None:
        """Raise `ConfigError` unless exactly one way to select was taken."""
        ways = {
            "--targets": self.targets is not None,
            "--project": bool(self.project),
            "--all-projects": self.all_projects,
            "--fleet": self.fleet is not None,
        }
        chosen = [flag for flag, taken in ways.items() if taken]
        if not chosen:
            raise ConfigError(f"nothing is selected: use one of {', '.join(ways)}")
        if len(chosen) > 1 and chosen != ["--targets", "--fleet"]:
            raise ConfigError(f"{' and '.join(chosen)} do not go together: use one of {', '.join(ways)}")
        if self.any_ids and self.targets is None:
            raise ConfigError("--any-ids is about the ids of a list: use it with --targets")
        if "" in (self.project or ()):
            raise ConfigError("--project: the project is empty")
        if self.fleet == "":
            raise ConfigError("--fleet: the path is empty")

    def selection(self) -> Selection:
        """What to look for in the one account."""
        return Selection(None if self.all_projects else tuple(self.project or ()), self.project_level)


@dataclass(frozen=True)
class Connecting(Group):
    """How an account is reached. `given`: the flags, by their names here, that stand on the command line."""

    endpoint: str | None = connect(
        "The service, like https://sdrs.eu-de.otc.t-systems.com. Default: what the sign-in names, or the region.", "URL"
    )
    region: str | None = connect("Like eu-de: the hosts follow from it (default: OS_REGION_NAME).", "REGION")
    iam_endpoint: str | None = connect(
        "Where projects are listed, with or without /v3. Default: what the credential or the environment names, "
        "or the region.",
        "URL",
    )
    os_cloud: str | None = connect("A cloud of clouds.yaml, for credential and region (default: OS_CLOUD).", "NAME")
    credential: CredentialKind = connect(
        "Where the credential comes from. token: OS_TOKEN, or OS_AUTH_TOKEN; ak-sk: HUAWEICLOUD_SDK_AK and _SK, "
        "OS_ACCESS_KEY and OS_SECRET_KEY, HW_ACCESS_KEY and HW_SECRET_KEY, or with --os-cloud the cloud's ak and "
        "sk; openstack: clouds.yaml or the OS_* variables; huawei: ~/.huaweicloud/credentials, or else what the "
        "vendor's SDK finds. auto: the first of --os-cloud, token, ak-sk, openstack, the credentials file.",
        "KIND",
        default=CredentialKind.AUTO,
        show_default=True,
    )
    signature: Signature = connect(
        "How an access key signs: access, or credential, the older form, which names the region.",
        "FORM",
        default=Signature.ACCESS,
        show_default=True,
    )
    ca_file: str | None = connect(
        "PEM certificates to trust instead of the system's, for the sign-in too (default: cacert of clouds.yaml, "
        "OS_CACERT, REQUESTS_CA_BUNDLE). It wins over verify: false of clouds.yaml.",
        "FILE",
    )
    allow_http: bool = connect(
        "Let the credential leave this machine over plain http, readable on the way.", default=False
    )
    given: frozenset[str] = frozenset()

    def read(self) -> Asked:
        """What these flags come to; `ConfigError` names the one that cannot be used."""
        return self._read({}, RetryPolicy())

    def _read(self, limits: Mapping[str, Any], retry: RetryPolicy) -> Asked:
        place = {each.name: getattr(self, each.name) for each in Connecting.parameters()}
        given = {name: value for name, value in {**place, **limits}.items() if name in self.given}
        return Asked(**place, limits=Limits(**limits), retry=retry, given=given)


@dataclass(frozen=True)
class Working(Connecting):
    """The same with the limits and the tries of what is done there."""

    project_rate: str = limit(
        'Requests per project, like 10/s or 200/5min; "200/5min burst 20": besides, at most 20 in any second. A '
        "lower limit that a 429 shows is kept to as well, for every rate here, and the summary names it.",
        default=str(_LIMITS.project_rate),
    )
    project_concurrency: str = limit("Requests at a time per project.", default=str(_LIMITS.project_concurrency))
    user_rate: str = limit("Requests of this credential over all projects, like 200/5min.", default="none")
    endpoint_rate: str = limit("Requests to the endpoint over all projects.", default=str(_LIMITS.endpoint_rate))
    concurrency: str = limit(
        "Requests at a time in all. For each of these, none lifts it.", default=str(_LIMITS.concurrency)
    )
    attempts: int = tries("Tries per group; throttled ones (429) do not count.", "NUMBER", default=_RETRY.attempts)
    timeout: float = tries("Seconds per try.", "SECONDS", default=_RETRY.timeout)
    retry_time: float = tries(
        "Seconds per group in all, from its first try, throttling included.", "SECONDS", default=_RETRY.total
    )

    def read(self) -> Asked:  # noqa: D102 - as of the class above
        limits = {name: _read(name, getattr(self, name)) for name in _NAMES}
        return self._read(limits, self._tries())

    def _tries(self) -> RetryPolicy:
        if self.attempts < 1:
            raise ConfigError(f"--attempts: {self.attempts} is not a number of tries: use 1 or more")
        for flag, seconds in (("--timeout", self.timeout), ("--retry-time", self.retry_time)):
            if not 0 < seconds < math.inf:
                raise ConfigError(f"{flag}: {seconds:g} is not a time in seconds: use a number above 0")
        return RetryPolicy(attempts=self.attempts, timeout=self.timeout, total=self.retry_time)


def _read(name: str, text: str) -> Rate | int | None:
    try:
        return _cap(text) if name.endswith("concurrency") else _rate(text)
    except ConfigError as error:
        raise ConfigError(f"--{name.replace('_', '-')}: {error}") from None


def _rate(text: str) -> Rate | None:
    try:
        return Rate.parse(text)
    except ConfigError as error:
        # Of a rate that can be read and allows nothing, only the numbers would be named.
        if repr(text) in str(error):
            raise
        raise ConfigError(
            f"{text!r} is not a rate: use a count of at least 1, as for a burst, and a time from 1e-6 to 1e11 seconds, "
            "or none"
        ) from None


def _cap(text: str) -> int | None:
    if text.strip().lower() == "none":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise ConfigError(f"{text!r} is not a number of requests: use 1 or more, or none")
    return int(text)
