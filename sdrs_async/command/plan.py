"""The command `plan`."""

from __future__ import annotations

import anyio

from sdrs_async.command import flags
from sdrs_async.command.options import Talk, Wanted, Working, with_flags
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.selected import listed, selected
from sdrs_async.errors import ConfigError

NOTES = """
Credentials come from files and the environment, as for clean.

Exit codes:
0: everything could be listed
1: some projects or accounts could not be listed, or a defect came up
2: bad usage, configuration or input; an output that cannot be written
3: no account could sign in
130: interrupted (Ctrl-C), 143: terminated (SIGTERM), 129: hung up (SIGHUP)
"""


@with_flags
def plan(
    *,
    wanted: Wanted,
    account: Working,
    simulate: flags.Simulate = False,
    gateway: flags.Gateways = None,
    json_file: flags.PlanJson = None,
    talk: Talk,
) -> int:
    """Show what clean would do: accounts, hosts, projects and their groups. Only reads."""
    from sdrs_async.command.planning import Planning
    from sdrs_async.command.simulating import check_gateways

    wanted.check()
    if gateway and not simulate:
        raise ConfigError("--gateway is what --simulate runs against: add --simulate")
    check_gateways(gateway or ())
    connection, selections = selected(wanted, account, Outputs(json=json_file))
    gateways = (gateway or ()) if simulate else None
    with listed(wanted, connection, selections, quiet=talk.quiet) as (connection, targets):
        planning = Planning(
            connection, targets, title="Plan:", json_file=json_file, quiet=talk.quiet, gateways=gateways
        )
        return anyio.run(planning.run)
