"""The commands that only look: `plan` and `doctor`."""

from __future__ import annotations

import os
from contextlib import ExitStack

import anyio
import typer

from sdrs_async.accounts.connecting import Connection
from sdrs_async.accounts.sources import CredentialKind, Signature
from sdrs_async.command import flags, options
from sdrs_async.command.accounts import of_flags, of_fleet
from sdrs_async.command.clean import connection_of, listed, of_list
from sdrs_async.command.doctor import run_doctor
from sdrs_async.command.endings import reported
from sdrs_async.command.finding import Display, connected
from sdrs_async.command.inputs import inputs
from sdrs_async.command.interrupts import interrupts
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.planning import Planning
from sdrs_async.command.simulating import check_gateways
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, RetryPolicy

__all__ = ["DOCTOR_NOTES", "PLAN_NOTES", "doctor", "plan"]

_LIMITS = Limits()
_RETRY = RetryPolicy()

PLAN_NOTES = """
Credentials come from files and the environment, as for clean.

Exit codes:
0: everything could be listed
1: some projects or accounts could not be listed, or a defect came up
2: bad usage, configuration or input; an output that cannot be written
3: no account could sign in
130: interrupted (Ctrl-C), 143: terminated (SIGTERM), 129: hung up (SIGHUP)
"""

DOCTOR_NOTES = """
Credentials come from files and the environment, as for clean.

Exit codes:
0: nothing failed
1: a check failed
2: bad usage or configuration
3: no account could sign in
130: interrupted (Ctrl-C), 143: terminated (SIGTERM), 129: hung up (SIGHUP)
"""


def plan(
    context: typer.Context,
    *,
    targets: flags.Targets = None,
    any_ids: flags.AnyIds = False,
    project: flags.Project = None,
    all_projects: flags.AllProjects = False,
    fleet: flags.Fleet = None,
    project_level: flags.ProjectLevel = False,
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
    simulate: flags.Simulate = False,
    gateway: flags.Gateways = None,
    json_file: flags.PlanJson = None,
    quiet: flags.Quiet = False,
    log_level: flags.LogLevel = flags.Level.WARNING,
    log_format: flags.LogFormat = flags.LogLines.TEXT,
) -> None:
    """Show what clean would do: accounts, hosts, projects and their groups. Only reads."""
    with reported(log_level, log_format), ExitStack() as stack:
        selected = options.wanted(context)
        if gateway and not simulate:
            raise ConfigError("--gateway is what --simulate runs against: add --simulate")
        check_gateways(gateway or ())
        connection, selections = connection_of(context, selected)
        Outputs(json=json_file).check(inputs(selected, connection, os.environ))
        spooled = (
            stack.enter_context(listed(selected, connection, quiet=quiet)) if selected.targets is not None else None
        )
        if spooled is not None:
            connection = of_list(connection, spooled)
        wanted = selections if spooled is None else spooled
        gateways = (gateway or ()) if simulate else None
        planning = Planning(connection, wanted, title="Plan:", json_file=json_file, quiet=quiet, gateways=gateways)
        raise typer.Exit(anyio.run(planning.run))


def doctor(
    context: typer.Context,
    *,
    fleet: flags.Fleet = None,
    project: flags.OneProject = None,
    endpoint: flags.Endpoint = None,
    region: flags.Region = None,
    iam_endpoint: flags.IamEndpoint = None,
    os_cloud: flags.OsCloud = None,
    credential: flags.Credential = CredentialKind.AUTO,
    signature: flags.SignatureForm = Signature.ACCESS,
    ca_file: flags.CaFile = None,
    allow_http: flags.AllowHttp = False,
    quiet: flags.Quiet = False,
    log_level: flags.LogLevel = flags.Level.WARNING,
    log_format: flags.LogFormat = flags.LogLines.TEXT,
) -> None:
    """Check each account: endpoint, certificates, clock, credential, listing. Deletes nothing."""
    with reported(log_level, log_format):
        given = options.connection(context)
        if fleet is None:
            connection = of_flags(given, os.environ)
        else:
            connection, _ = of_fleet(fleet, given, os.environ, project_level=False)
        raise typer.Exit(anyio.run(_examine, connection, project, quiet))


async def _examine(connection: Connection, project: str | None, quiet: bool) -> int:
    async with interrupts() as told:
        listed = {one.name: [project] for one in connection.pending} if project else {}
        ready = await connected(connection, {}, told, Display(quiet), listed)
        code = await told.unless(run_doctor(ready.accounts, project_id=project)) if ready is not None else None
        if ready is None or code is None:
            return 128 + (told.first or 0)
        # An account that could not be signed in to was no subject of the examination, and is not well.
        return max(code, 1) if ready.lost else code
