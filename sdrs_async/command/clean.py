"""The command `clean`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from urllib.parse import urlsplit

import anyio
import typer

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.accounts.sources import CredentialKind, Signature
from sdrs_async.cleanup.id_forms import is_usual_project
from sdrs_async.cleanup.spool import Spool
from sdrs_async.cleanup.target_files import Owners, spool
from sdrs_async.command import flags, options
from sdrs_async.command.accounts import of_flags, of_fleet
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.endings import reported
from sdrs_async.command.floors import LATENCY, floor_words
from sdrs_async.command.inputs import inputs
from sdrs_async.command.outputs import STDOUT, Outputs
from sdrs_async.command.planning import Planning
from sdrs_async.command.questions import extent, groups_of
from sdrs_async.command.selecting import Wanted
from sdrs_async.command.terminal import is_interactive, say, to_stdout
from sdrs_async.errors import ConfigError
from sdrs_async.formats.wording import many, printable
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.pace.floor import Floor, Scopes

__all__ = ["CLEAN_NOTES", "clean"]

_LIMITS = Limits()
_RETRY = RetryPolicy()

CLEAN_NOTES = """
Environment:
OS_CLOUD: a cloud of clouds.yaml to sign in to, as --os-cloud
OS_TOKEN, OS_AUTH_TOKEN: a token, good for every selected project
HUAWEICLOUD_SDK_AK, _SK, _SECURITY_TOKEN, or OS_ACCESS_KEY,
OS_SECRET_KEY, OS_SECURITY_TOKEN, or HW_ACCESS_KEY, HW_SECRET_KEY,
HW_SECURITY_TOKEN: an access key
OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_USER_DOMAIN_NAME and others: a
user to sign in as
OS_REGION_NAME: the region; HW_CLOUD: the domain of its cloud
HUAWEICLOUD_SDK_REGION_SDRS_(REGION), HUAWEICLOUD_SDK_IAM_ENDPOINT: hosts
OS_CACERT, REQUESTS_CA_BUNDLE, SSL_CERT_FILE: certificates to trust
HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY: the way to service and IAM

Exit codes:
0: every group is clean, or none was selected
1: some groups failed, a project or account could not be listed, or a
defect stopped the run
2: bad usage, configuration or input; an output that cannot be written;
no --yes where nobody can be asked; the question answered with no
3: no account could sign in
5: some groups failed, all for causes that may pass
130: interrupted (Ctrl-C), 143: terminated (SIGTERM), 129: hung up (SIGHUP)

The first Ctrl-C starts nothing new and gives the requests on the wire
3 s for their answer, the second ends at once; the summary and the files
are written in both cases.
"""


def clean(
    context: typer.Context,
    *,
    targets: flags.Targets = None,
    any_ids: flags.AnyIds = False,
    project: flags.Project = None,
    all_projects: flags.AllProjects = False,
    fleet: flags.Fleet = None,
    project_level: flags.ProjectLevel = False,
    dry_run: flags.DryRun = False,
    yes: flags.Yes = False,
    endpoint: flags.Endpoint = None,
    region: flags.Region = None,
    iam_endpoint: flags.IamEndpoint = None,
    os_cloud: flags.OsCloud = None,
    credential: flags.Credential = CredentialKind.AUTO,
    signature: flags.SignatureForm = Signature.ACCESS,
    ca_file: flags.CaFile = None,
    allow_http: flags.AllowHttp = False,
    project_rate: flags.ProjectRate = str(_LIMITS.project_rate),
    project_concurrency: flags.ProjectConcurrency = str(_LIMITS.project_concurrency),
    user_rate: flags.UserRate = "none",
    endpoint_rate: flags.EndpointRate = str(_LIMITS.endpoint_rate),
    concurrency: flags.Concurrency = str(_LIMITS.concurrency),
    attempts: flags.Attempts = _RETRY.attempts,
    timeout: flags.Timeout = _RETRY.timeout,
    retry_time: flags.RetryTime = _RETRY.total,
    json_file: flags.Json = None,
    results: flags.Results = None,
    html_file: flags.Html = None,
    quiet: flags.Quiet = False,
    log_level: flags.LogLevel = flags.Level.WARNING,
    log_format: flags.LogFormat = flags.LogLines.TEXT,
) -> None:
    """Delete the failed tasks of the selected protection groups.

    Asks first on a terminal, and needs --yes elsewhere and with --targets -. What is deleted is gone for good.
    """
    with reported(log_level, log_format), ExitStack() as stack:
        selected = options.wanted(context)
        connection, selections = connection_of(context, selected)
        outputs = Outputs(json=json_file, results=results, html=html_file)
        outputs.check(inputs(selected, connection, os.environ))
        _check_can_ask(selected, asking=not (yes or dry_run))
        if dry_run and not quiet:
            _warn_of_no_files(outputs)
        spooled = (
            stack.enter_context(listed(selected, connection, quiet=quiet)) if selected.targets is not None else None
        )
        if spooled is not None:
            connection = of_list(connection, spooled)
        if dry_run and spooled is not None:
            with to_stdout():
                _show_list(spooled, connection)
            return
        if dry_run:
            planning = Planning(connection, selections, title="Dry run: nothing was deleted.", quiet=quiet)
            raise typer.Exit(anyio.run(planning.run))
        asking = not yes and (spooled is None or bool(spooled.projects))
        if asking:
            _need_terminal()
        job = Cleanup(connection, selections if spooled is None else spooled, outputs, asking=asking, quiet=quiet)
        raise typer.Exit(anyio.run(job.run).exit_code)


def connection_of(context: typer.Context, selected: Wanted) -> tuple[Connection, dict[str, Selection]]:
    """The accounts that the flags name, and what to look for in each where the targets are not listed."""
    given = options.connection(context)
    if selected.fleet is not None:
        return of_fleet(selected.fleet, given, os.environ, project_level=selected.project_level)
    connection = of_flags(given, os.environ)
    if selected.targets is not None:
        return connection, {}
    return connection, {account.name: selected.selection() for account in connection.pending}


def listed(selected: Wanted, connection: Connection, *, quiet: bool = False) -> Spool:
    """The targets of the list, each of an account of the connection; a word when there are none, unless `quiet`.

    Read to its end, and nothing is sent. Raises `ConfigError`.
    """
    source = selected.targets or ""
    names = tuple(one.name for one in connection.pending)
    owners = Owners(names, connection.fleet_file, connection.endpoints())
    spooled = spool(source, owners, project_level=selected.project_level, any_ids=selected.any_ids)
    shown = "stdin" if source == STDOUT else source
    if not (spooled.projects or quiet):
        say(f"warning: {shown} names no protection group: nothing to do")
    if not (selected.any_ids or quiet):
        _warn_of_unusual(shown, spooled)
    return spooled


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


def of_list(connection: Connection, spooled: Spool) -> Connection:
    """The connection with the accounts alone that have targets in the list, or one where none has."""
    return connection.of(spooled.accounts() or [connection.pending[0].name])


def _check_can_ask(selected: Wanted, *, asking: bool) -> None:
    if asking and selected.targets == STDOUT:
        raise ConfigError("--targets - takes stdin, where the question would be answered: add --yes, or --dry-run")
    if asking and selected.targets is None:
        _need_terminal()


def _need_terminal() -> None:
    if not is_interactive():
        raise ConfigError("there is no terminal to ask on: add --yes to delete, or --dry-run to see what would be done")


def _show_list(spooled: Spool, connection: Connection) -> None:
    write = sys.stdout.write
    accounts, endpoints = connection.pending, connection.endpoints()
    spooled.unite(endpoints)
    several = len(accounts) > 1
    where = f"with {len(accounts):,} accounts" if several else f"at {_place(accounts[0], endpoints)}"
    write(f"Dry run: would delete the failed tasks of {extent(spooled)} {where}; nothing was sent.\n")
    if words := floor_words(_floor_of_list(spooled, connection, endpoints)):
        write(f"Takes {words}.\n")
    if spooled.duplicates:
        write(f"Left out: {spooled.duplicates:,} duplicates.\n")
    for account in accounts:
        if several:
            write(f"\n{printable(account.name)} at {_place(account, endpoints)}")
        for number, one in enumerate(spooled.extents(account.name)):
            write("" if number else f"\n{'groups':>8}  project\n")
            level = "  project level" if one.project_level else ""
            write(f"{groups_of(one):>8}  {printable(one.project_id)}{level}\n")


def _place(account: Pending, endpoints: Mapping[str, str]) -> str:
    """The host that it is sent to, as far as it is known before anything is asked."""
    endpoint = endpoints.get(account.name)
    return printable(urlsplit(endpoint).netloc if endpoint else f"the endpoint that {account.iam_endpoint} names")


def _floor_of_list(spooled: Spool, connection: Connection, endpoints: Mapping[str, str]) -> Floor:
    scopes = Scopes({one.name: one.limits for one in connection.pending}, endpoints, connection.concurrency)
    loads = {one.name: [x.groups + x.project_level for x in spooled.extents(one.name)] for one in connection.pending}
    return scopes.floor(loads, LATENCY)


def _warn_of_no_files(outputs: Outputs) -> None:
    if flags := ", ".join(flag for flag, _ in outputs.given()):
        say(f"warning: a dry run writes no files: {flags} left out")
