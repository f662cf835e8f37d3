"""The command `clean`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from sdrs_async.cleanup.spool import Spool
from sdrs_async.command import flags
from sdrs_async.command.connecting import Connection, Pending
from sdrs_async.command.floors import LATENCY, floor_words
from sdrs_async.command.options import Talk, Wanted, Working, with_flags
from sdrs_async.command.outputs import STDOUT, Outputs
from sdrs_async.command.questions import extent, groups_of
from sdrs_async.command.selected import Targets, listed, selected
from sdrs_async.command.streams import is_interactive, say, to_stdout
from sdrs_async.errors import ConfigError
from sdrs_async.formats.wording import printable
from sdrs_async.pace.floor import Floor, Scopes

__all__ = ["NOTES", "clean"]

NOTES = """
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


@with_flags
def clean(
    *,
    wanted: Wanted,
    dry_run: flags.DryRun = False,
    yes: flags.Yes = False,
    account: Working,
    outputs: Outputs,
    talk: Talk,
) -> int:
    """Delete the failed tasks of the selected protection groups.

    Asks first on a terminal, and needs --yes elsewhere and with --targets -. What is deleted is gone for good.
    """
    connection, selections = selected(wanted, account, outputs)
    asking = not (yes or dry_run)
    _check_can_ask(wanted, asking=asking)
    if dry_run and not talk.quiet:
        _warn_of_no_files(outputs)
    with listed(wanted, connection, selections, quiet=talk.quiet) as (connection, targets):
        if dry_run:
            return _show(connection, targets, talk)
        from sdrs_async.command.cleanup import Cleanup

        if isinstance(targets, Spool) and asking:
            asking = targets.projects > 0
            _need_terminal(asking=asking)
        job = Cleanup(connection, targets, outputs, asking=asking, quiet=talk.quiet)
        return anyio.run(job.run).exit_code


def _show(connection: Connection, targets: Targets, talk: Talk) -> int:
    if isinstance(targets, Spool):
        with to_stdout():
            _show_list(targets, connection)
        return 0
    from sdrs_async.command.planning import Planning

    return anyio.run(Planning(connection, targets, title="Dry run: nothing was deleted.", quiet=talk.quiet).run)


def _check_can_ask(wanted: Wanted, *, asking: bool) -> None:
    if asking and wanted.targets == STDOUT:
        raise ConfigError("--targets - takes stdin, where the question would be answered: add --yes, or --dry-run")
    _need_terminal(asking=asking and wanted.targets is None)


def _need_terminal(*, asking: bool) -> None:
    if asking and not is_interactive():
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
