"""The command `clean`."""

from __future__ import annotations

import anyio

from sdrs_async.accounts.connecting import Connection
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.flags import select
from sdrs_async.command.inputs import Wanted, listed, selected
from sdrs_async.command.options import Selecting, Talk, Working, with_flags
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.streams import STDOUT, is_interactive, say
from sdrs_async.errors import ConfigError

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
    wanted: Selecting,
    dry_run: bool = select("Check everything, show what would be done, delete nothing.", default=False),
    yes: bool = select("Do not ask; needed where there is no terminal to ask on.", default=False, short="-y"),
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
    if dry_run and not talk.quiet and (left_out := ", ".join(flag for flag, _ in outputs.given())):
        say(f"warning: a dry run writes no files: {left_out} left out")
    with listed(wanted, connection, selections, quiet=talk.quiet) as (connection, targets):
        if dry_run:
            return _show(connection, targets, talk)
        from sdrs_async.command.cleanup import Cleanup

        if isinstance(targets, Spool) and asking:
            asking = targets.projects > 0
            _need_terminal(asking=asking)
        job = Cleanup(connection, targets, outputs, asking=asking, quiet=talk.quiet)
        return anyio.run(job.run).exit_code


def _show(connection: Connection, targets: Wanted, talk: Talk) -> int:
    if isinstance(targets, Spool):
        from sdrs_async.command.planning import show_list

        show_list(targets, connection)
        return 0
    from sdrs_async.command.planning import Planning

    return anyio.run(Planning(connection, targets, title="Dry run: nothing was deleted.", quiet=talk.quiet).run)


def _check_can_ask(wanted: Selecting, *, asking: bool) -> None:
    if asking and wanted.targets == STDOUT:
        raise ConfigError("--targets - takes stdin, where the question would be answered: add --yes, or --dry-run")
    _need_terminal(asking=asking and wanted.targets is None)


def _need_terminal(*, asking: bool) -> None:
    if asking and not is_interactive():
        raise ConfigError("there is no terminal to ask on: add --yes to delete, or --dry-run to see what would be done")
