"""From flags to what a command is given: groups of flags that commands share, and what these come to."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, get_type_hints

import typer

from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked, CredentialKind, Signature
from sdrs_async.command import flags
from sdrs_async.command.errors import reported
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
    groups: dict[str, type[flags.Group]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, flags.Group)
    }
    parameters = [inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for name, own in inspect.signature(command).parameters.items():
        parameters += groups[name].parameters() if name in groups else [own.replace(annotation=hints[name])]

    @wraps(command)
    def run(context: typer.Context, **values: Any) -> None:
        given = frozenset(name for name in values if _is_given(context, name))
        values |= {name: _filled(group, values, given) for name, group in groups.items()}
        talk = values.get("talk", Talk())
        with reported(talk.log_level, talk.log_format):
            raise typer.Exit(command(**values))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what `inspect.signature` looks for first
    return run


def _filled(group: type[flags.Group], values: dict[str, Any], given: frozenset[str]) -> flags.Group:
    """The group with its own of the values, which are taken out of these."""
    own = {each.name: values.pop(each.name) for each in group.parameters()}
    return group(**own, given=given & own.keys()) if issubclass(group, Connecting) else group(**own)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


# ---- groups of flags


@dataclass(frozen=True)
class Talk(flags.Group):
    """How much is said beside the result."""

    quiet: flags.Quiet = False
    log_level: flags.LogLevel = flags.Level.WARNING
    log_format: flags.LogFormat = flags.LogLines.TEXT


@dataclass(frozen=True)
class Wanted(flags.Group):
    """What is to be cleaned: a list of targets, projects to look into, or what a fleet file names, all of it or a list.

    With both `targets` and `fleet`, the targets of the list are those of the fleet's accounts, and what the fleet file
    selects is left alone.
    """

    targets: flags.Targets = None
    any_ids: flags.AnyIds = False
    project: flags.Project = None
    all_projects: flags.AllProjects = False
    fleet: flags.Fleet = None
    project_level: flags.ProjectLevel = False

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
class Connecting(flags.Group):
    """How an account is reached. `given`: the flags, by their names here, that stand on the command line."""

    endpoint: flags.Endpoint = None
    region: flags.Region = None
    iam_endpoint: flags.IamEndpoint = None
    os_cloud: flags.OsCloud = None
    credential: flags.Credential = CredentialKind.AUTO
    signature: flags.SignatureForm = Signature.ACCESS
    ca_file: flags.CaFile = None
    allow_http: flags.AllowHttp = False
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

    project_rate: flags.ProjectRate = str(_LIMITS.project_rate)
    project_concurrency: flags.ProjectConcurrency = str(_LIMITS.project_concurrency)
    user_rate: flags.UserRate = "none"
    endpoint_rate: flags.EndpointRate = str(_LIMITS.endpoint_rate)
    concurrency: flags.Concurrency = str(_LIMITS.concurrency)
    attempts: flags.Attempts = _RETRY.attempts
    timeout: flags.Timeout = _RETRY.timeout
    retry_time: flags.RetryTime = _RETRY.total

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
