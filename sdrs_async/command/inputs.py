"""What flags, environment, fleet file and list of targets come to: accounts, what to do in each, and files to read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

from sdrs_async.accounts import connecting
from sdrs_async.accounts.account import of_environment
from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import Asked
from sdrs_async.cleanup.id_forms import is_usual_project
from sdrs_async.cleanup.spool import Spool
from sdrs_async.cleanup.target_files import Owners, spool
from sdrs_async.command.options import Connecting, Selecting
from sdrs_async.command.outputs import Named, Outputs
from sdrs_async.command.streams import STDOUT, say
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import CloudKey
from sdrs_async.errors import ConfigError
from sdrs_async.formats.wording import many

# Read by this package, openstacksdk, the vendor's SDK, Python and requests, in this order.
_VARIABLES = (
    *("OS_CACERT", "HUAWEICLOUD_SDK_CREDENTIALS_FILE"),
    *("OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLIENT_VENDOR_FILE", "OS_CERT", "OS_KEY"),
    *("HUAWEICLOUD_SDK_ID_TOKEN_FILE", "HUAWEICLOUD_OIDC_TOKEN_FILE", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
# What is made of a cloud of clouds.yaml.
_OF_CLOUDS = (KeystoneAuth, CloudKey)
Selections = Mapping[str, Selection]
"""What to look for, by the accounts' names."""
Wanted = Spool | Selections
"""The same, or the targets of a list."""


def selected(wanted: Selecting, account: Connecting, outputs: Outputs) -> tuple[Connection, Selections]:
    """The accounts that the flags name, and what to look for in each where the targets are not listed.

    Nothing is sent. Raises `ConfigError`, also for outputs that would replace what is read.
    """
    wanted.check()
    given = account.read()
    if wanted.fleet is not None:
        connection, selections = of_fleet(wanted.fleet, given, os.environ, project_level=wanted.project_level)
    else:
        connection = of_flags(given, os.environ)
        selections = {} if wanted.targets is not None else {one.name: wanted.selection() for one in connection.pending}
    outputs.check(inputs(wanted, connection, os.environ))
    return connection, selections


@contextmanager
def listed(
    wanted: Selecting, connection: Connection, selections: Selections, *, quiet: bool
) -> Iterator[tuple[Connection, Wanted]]:
    """What there is to do: the selections, or the targets of the list, with the accounts alone that these are of.

    A list is read to its end, and nothing is sent; a word when nothing is in it, unless `quiet`. Raises `ConfigError`.
    """
    if wanted.targets is None:
        yield connection, selections
        return
    names = tuple(one.name for one in connection.pending)
    owners = Owners(names, connection.fleet_file, connection.endpoints())
    with spool(wanted.targets, owners, project_level=wanted.project_level, any_ids=wanted.any_ids) as spooled:
        shown = "stdin" if wanted.targets == STDOUT else wanted.targets
        if not (spooled.projects or quiet):
            say(f"warning: {shown} names no protection group: nothing to do")
        if not (wanted.any_ids or quiet):
            _warn_of_unusual(shown, spooled)
        yield connection.of(spooled.accounts() or names[:1]), spooled


def _warn_of_unusual(source: str, spooled: Spool) -> None:
    """A name or half an id may have the form of one."""
    unusual = (one.project_id for one in spooled.extents() if not is_usual_project(one.project_id))
    if first := next(unusual, None):
        more = sum(1 for _ in unusual)
        others = f" (and {many(more, 'more project')})" if more else ""
        say(
            f"warning: {source}: project_id {first!r}{others} is not of 32 digits and letters from a to f, as the "
            "service's are: is it a name, or cut off?"
        )


# ---- accounts


def of_flags(flags: Asked, environ: Mapping[str, str]) -> Connection:
    """The one account that the flags and the environment name. Sends nothing. Raises `ConfigError`."""
    account, others = of_environment(flags, environ)
    notes = [f"using {account.name}, not {', '.join(others)} (--credential chooses)"] if others else []
    return Connection([account], flags.retry, flags.limits.concurrency, notes)


def of_fleet(
    path: str, flags: Asked, environ: Mapping[str, str], *, project_level: bool
) -> tuple[Connection, dict[str, Selection]]:
    """The accounts of a fleet file, and by their names what to look for in each. Sends nothing.

    Limits that were given as flags win over the file's. Raises `ConfigError`, also for flags of the connection.
    """
    limits = {limit.name for limit in fields(flags.limits)}
    refused = [f"--{name.replace('_', '-')}" for name in flags.given if name not in limits]
    if refused:
        raise ConfigError(f"{' and '.join(refused)}: with --fleet the file says that, for each account")
    connection, selected = connecting.of_fleet(path, flags.given, flags.retry, environ)
    if project_level:
        selected = {name: replace(one, project_level=True) for name, one in selected.items()}
    return connection, selected


# ---- files that are read


def inputs(selected: Selecting, connection: Connection, environ: Mapping[str, str]) -> Iterator[Named]:
    """What names each of the files, and its path; there may be none at that path."""
    given = {"--targets": selected.targets, "--fleet": selected.fleet}
    variables = {name: environ.get(name) for name in _VARIABLES}
    yield from ((name, path) for name, path in {**given, **variables}.items() if path)
    for account in connection.pending:
        if account.ca_file:
            yield ("ca_file" if connection.fleet_file else "--ca-file"), account.ca_file
        yield from account.files
    yield from _usual(connection, environ)


def _usual(connection: Connection, environ: Mapping[str, str]) -> Iterator[Named]:
    """What is looked for where nothing names it."""
    if home := environ.get("HOME") or environ.get("USERPROFILE"):
        yield "the credentials file", str(Path(home, ".huaweicloud", "credentials"))
    if any(isinstance(account.auth, _OF_CLOUDS) for account in connection.pending):
        from openstack.config import loader

        for path in (*loader.CONFIG_FILES, *loader.SECURE_FILES, *loader.VENDOR_FILES):
            yield "a file of clouds", path
