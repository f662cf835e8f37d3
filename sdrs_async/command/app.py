"""The commands as one application. Needs typer (extra `cli`); a command loads what it works with once it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from sdrs_async import __version__
from sdrs_async.command import clean, demo, doctor, plan, report, simulate
from sdrs_async.command.endings import reported
from sdrs_async.command.streams import to_stdout

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


app.command(epilog=clean.NOTES)(clean.clean)
app.command(epilog=plan.NOTES)(plan.plan)
app.command(epilog=doctor.NOTES)(doctor.doctor)
app.command(epilog=report.NOTES)(report.report)
app.command(epilog=demo.NOTES)(demo.demo)
# As after `env` and `nice`: what follows the first word of COMMAND is its own, flags too.
app.command(epilog=simulate.NOTES, context_settings={"allow_interspersed_args": False})(simulate.simulate)
