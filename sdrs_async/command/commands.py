"""The commands: flags in, one of the jobs done, an exit code out. Needs typer and rich (extra `cli`)."""

from __future__ import annotations

from typing import Annotated

import anyio
import typer

from sdrs_async import __version__
from sdrs_async.command import flags, server_flags
from sdrs_async.command.clean import CLEAN_NOTES, clean
from sdrs_async.command.endings import reported
from sdrs_async.command.inspecting import DOCTOR_NOTES, PLAN_NOTES, doctor, plan
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.reports import report
from sdrs_async.command.terminal import to_stdout

__all__ = ["app"]

app = typer.Typer(
    help="Delete the failed tasks of SDRS protection groups, over many projects at once and within every rate limit.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with the values of variables would show the credential.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        with reported(), to_stdout():
            typer.echo(f"sdrs-async {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


app.command(epilog=CLEAN_NOTES)(clean)
app.command(epilog=PLAN_NOTES)(plan)
app.command(epilog=DOCTOR_NOTES)(doctor)
app.command(
    epilog="Exit codes: 0 the report was written; 2 a file is no report, cannot be read, or holds a run twice."
)(report)


# ---- demo and simulate


@app.command(epilog="Exit codes: 0 the client's numbers and the server's agree; 1 they do not; 130 interrupted.")
def demo(
    *,
    json_file: flags.Json = None,
    html_file: flags.Html = None,
    quiet: flags.Quiet = False,
    log_level: flags.LogLevel = flags.Level.WARNING,
    log_format: flags.LogFormat = flags.LogLines.TEXT,
) -> None:
    """See the main job at work, offline: a cleanup over several projects on the embedded simulator."""
    from sdrs_async.command.demo import run_demo

    with reported(log_level, log_format):
        outputs = Outputs(json=json_file, html=html_file)
        outputs.check()
        raise typer.Exit(anyio.run(run_demo, outputs, quiet))


@app.command(
    epilog="Exit codes: that of COMMAND, 127 where it was not found, 126 where it cannot be run; without it 0, stopped "
    "by Ctrl-C or SIGTERM; 2 bad usage, or the port is taken.",
    # As after `env` and `nice`: what follows the first word of COMMAND is its own, flags too.
    context_settings={"allow_interspersed_args": False},
)
def simulate(
    command: server_flags.Command = None,
    *,
    port: server_flags.Port = 0,
    projects: server_flags.Projects = 3,
    groups: server_flags.Groups = 4,
    failed_tasks: server_flags.FailedTasks = 2,
    seed: server_flags.Seed = 0,
    latency: server_flags.Latency = 0.0,
    jitter: server_flags.Jitter = 0.0,
    project_rate: server_flags.ProjectRate = "none",
    user_rate: server_flags.UserRate = "none",
    endpoint_rate: server_flags.EndpointRate = "none",
    address_rate: server_flags.AddressRate = "none",
    window: server_flags.Window = server_flags.WindowKind.SLIDING,
    hidden_limits: server_flags.HiddenLimits = False,
    count_refused: server_flags.CountRefused = False,
    fault: server_flags.Faults = None,
) -> None:
    """Run the embedded SDRS and IAM server on 127.0.0.1, while COMMAND runs or until Ctrl-C.

    COMMAND starts when the server is ready. Its environment, and the files that this names, hold credentials of each
    kind, a clouds.yaml with the cloud `simulated` among them. Yours are kept from it: variables, clouds.yaml and
    ~/.huaweicloud/credentials. A fleet file and --endpoint still lead where they say.

    Without COMMAND: prints its URL, then lines for a shell that export working credentials, then an empty line.
    """
    from sdrs_async.command.beside import become
    from sdrs_async.command.serving import serve, simulator_with

    with reported():
        simulator = simulator_with(
            faults=fault or [], port=port, projects=projects, groups=groups, failed_tasks=failed_tasks, seed=seed,
            latency=latency, jitter=jitter, project_rate=project_rate, user_rate=user_rate,
            endpoint_rate=endpoint_rate, address_rate=address_rate, window=window.value, hidden=hidden_limits,
            count_refused=count_refused,
        )  # fmt: skip
        if command:
            raise typer.Exit(become(simulator, port, command))
        anyio.run(serve, simulator, port)
