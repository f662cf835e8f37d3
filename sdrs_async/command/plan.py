"""The command `plan`."""

from __future__ import annotations

import anyio

from sdrs_async.command.flags import output, simulation
from sdrs_async.command.inputs import listed, selected
from sdrs_async.command.options import Selecting, Talk, Working, with_flags
from sdrs_async.command.outputs import Outputs
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
    wanted: Selecting,
    account: Working,
    simulate: bool = simulation(
        "Also run the plan in virtual time against a gateway that has the configured limits, or those of "
        "--gateway: how long it would take, what would be throttled and learned. Nothing is sent for it.",
        default=False,
    ),
    gateway: list[str] | None = simulation(
        "A limit that the simulated gateway has, repeatable: project, user, address or endpoint with a rate, "
        'like "user=200/5min"; then, if wanted, window=sliding|fixed|bucket|leaky, capacity=NUMBER (of the last '
        "two), told=yes|no (whether its 429 names it), refusals=counted|free, then=COUNT@SECONDS (another count "
        "later).",
        "SPEC",
    ),
    json: str | None = output("Write the plan as JSON; - is stdout.", "FILE|-"),
    talk: Talk,
) -> int:
    """Show what clean would do: accounts, hosts, projects and their groups. Only reads."""
    from sdrs_async.command.planning import Planning, check_gateways

    wanted.check()
    if gateway and not simulate:
        raise ConfigError("--gateway is what --simulate runs against: add --simulate")
    check_gateways(gateway or ())
    connection, selections = selected(wanted, account, Outputs(json=json))
    gateways = (gateway or ()) if simulate else None
    with listed(wanted, connection, selections, quiet=talk.quiet) as (connection, targets):
        planning = Planning(connection, targets, title="Plan:", json_file=json, quiet=talk.quiet, gateways=gateways)
        return anyio.run(planning.run)
