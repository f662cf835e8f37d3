"""The command `doctor`."""

from __future__ import annotations

import os

import anyio

from sdrs_async.accounts.connecting import Connection
from sdrs_async.command.flags import select
from sdrs_async.command.inputs import of_flags, of_fleet
from sdrs_async.command.options import FLEET, Connecting, Talk, with_flags
from sdrs_async.command.signals import interrupts

NOTES = """
Credentials come from files and the environment, as for clean.

Exit codes:
0: nothing failed
1: a check failed
2: bad usage or configuration
3: no account could sign in
130: interrupted (Ctrl-C), 143: terminated (SIGTERM), 129: hung up (SIGHUP)
"""


@with_flags
def doctor(
    *,
    fleet: str | None = FLEET,
    project: str | None = select("The project to read, by its id; without it the first that can be listed.", "ID"),
    account: Connecting,
    talk: Talk,
) -> int:
    """Check each account: endpoint, certificates, clock, credential, listing. Deletes nothing."""
    given = account.read()
    if fleet is None:
        connection = of_flags(given, os.environ)
    else:
        connection, _ = of_fleet(fleet, given, os.environ, project_level=False)
    return anyio.run(_examine, connection, project, talk.quiet)


async def _examine(connection: Connection, project: str | None, quiet: bool) -> int:
    from sdrs_async.command.checks import run_checks
    from sdrs_async.command.finding import Display, connected

    async with interrupts() as told:
        ready = await connected(connection, {}, told, Display(quiet), project)
        code = await told.unless(run_checks(ready.accounts, project_id=project)) if ready is not None else None
        if ready is None or code is None:
            return 128 + (told.first or 0)
        # An account that could not be signed in to was no subject of the examination, and is not well.
        return max(code, 1) if ready.lost else code
