"""What the flags come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from sdrs_async.accounts.sources import Asked, CredentialKind, Signature
from sdrs_async.command.selecting import Wanted
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, Rate, RetryPolicy

__all__ = ["connection", "limits", "retry_policy", "wanted"]

T = TypeVar("T")


def limits(
    project_rate: str, project_concurrency: str, user_rate: str, endpoint_rate: str, concurrency: str
) -> dict[str, Any]:
    """The fields of `Limits` that the flags ask for; `ConfigError` names the flag."""
    return {
        "project_rate": _read("--project-rate", _rate, project_rate),
        "project_concurrency": _read("--project-concurrency", _cap, project_concurrency),
        "user_rate": _read("--user-rate", _rate, user_rate),
        "endpoint_rate": _read("--endpoint-rate", _rate, endpoint_rate),
        "concurrency": _read("--concurrency", _cap, concurrency),
    }


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


# ---- what commands share, by the names of their parameters

_CONNECTION = ("endpoint", "region", "iam_endpoint", "os_cloud", "credential", "signature", "ca_file", "allow_http")
_LIMITS = ("project_rate", "project_concurrency", "user_rate", "endpoint_rate", "concurrency")
_TRIES = ("attempts", "timeout", "retry_time")


def connection(context: typer.Context) -> Asked:
    """The flags of the connection, of limits and of tries, where the command has them; `ConfigError` names one."""
    values = context.params
    tries = {name: values[name] for name in _TRIES if name in values}
    flags = {name: values[name] for name in _CONNECTION}
    flags["credential"], flags["signature"] = CredentialKind(flags["credential"]), Signature(flags["signature"])
    caps = limits(*(values[name] for name in _LIMITS)) if _LIMITS[0] in values else {}
    given = {name: value for name, value in {**flags, **caps}.items() if _is_given(context, name)}
    return Asked(**flags, limits=Limits(**caps), retry=retry_policy(**tries) if tries else RetryPolicy(), given=given)


def wanted(context: typer.Context) -> Wanted:
    """What is selected; `ConfigError` unless one way was taken."""
    values = context.params
    selected = Wanted(
        values["targets"], tuple(values["project"] or ()), values["all_projects"], values["fleet"],
        values["project_level"], values["any_ids"],
    )  # fmt: skip
    selected.check()
    return selected


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
