"""The commands: flags in, one of the jobs done, an exit code out. Needs typer and rich (extra `cli`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, TextIO
from urllib.parse import urlsplit

import anyio
import typer
from rich.console import Console

from sdrs_async import __version__
from sdrs_async.command import options
from sdrs_async.command.cleanup import Cleanup, Connection
from sdrs_async.command.outputs import STDOUT, Outputs, need_jinja, written_whole
from sdrs_async.command.targets import Spool, spool
from sdrs_async.command.terminal import Screen, ask, is_interactive, logging_to_stderr, say, to_stdout
from sdrs_async.errors import AuthenticationError, ConfigError, SdrsError
from sdrs_async.models import Limits, RetryPolicy
from sdrs_async.render import html
from sdrs_async.render.text import print_summary, write_json
from sdrs_async.render.wording import printable
from sdrs_async.report import Report

__all__ = ["app"]

_LIMITS = Limits()
_RETRY = RetryPolicy()

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
        with _reported(), to_stdout():
            typer.echo(f"sdrs-async {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


@contextmanager
def _reported(level: options.Level = options.Level.WARNING) -> Iterator[None]:
    """Log to stderr; turn what stops a command into one line there and its exit code."""
    with logging_to_stderr(level):
        try:
            yield
        except SdrsError as error:
            say(f"error: {error}")
            raise typer.Exit(3 if isinstance(error, AuthenticationError) else 2) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None


# ---- clean

_CLEAN_NOTES = """
Environment:
OS_TOKEN: the credential; it has to be good for every selected project
OS_CACERT, SSL_CERT_FILE: certificates to trust
HTTPS_PROXY, HTTP_PROXY, NO_PROXY: the way to the endpoint

Exit codes:
0: every group is clean, or none was selected
1: some groups failed
2: bad usage, configuration or input; an output that cannot be written;
no --yes where nobody can be asked; the question answered with no
3: the credential was refused
5: some groups failed, all for causes that may pass
130: interrupted (Ctrl-C), 143: terminated (SIGTERM), 129: hung up (SIGHUP)

The first Ctrl-C starts nothing new and gives the requests on the wire
3 s for their answer, the second ends at once; the summary and the files
are written in both cases.
"""


@app.command(epilog=_CLEAN_NOTES)
def clean(
    *,
    targets: options.Targets,
    endpoint: options.Endpoint,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    ca_file: options.CaFile = None,
    allow_http: options.AllowHttp = False,
    project_rate: options.ProjectRate = str(_LIMITS.project_rate),
    project_concurrency: options.ProjectConcurrency = str(_LIMITS.project_concurrency),
    user_rate: options.UserRate = "none",
    endpoint_rate: options.EndpointRate = str(_LIMITS.endpoint_rate),
    concurrency: options.Concurrency = str(_LIMITS.concurrency),
    attempts: options.Attempts = _RETRY.attempts,
    timeout: options.Timeout = _RETRY.timeout,
    retry_time: options.RetryTime = _RETRY.total,
    json_file: options.Json = None,
    results: options.Results = None,
    html_file: options.Html = None,
    quiet: options.Quiet = False,
    log_level: options.LogLevel = options.Level.WARNING,
) -> None:
    """Delete the failed tasks of the selected protection groups.

    Asks first on a terminal, and needs --yes elsewhere and with --targets -. What is deleted is gone for good.
    """
    with _reported(log_level):
        connection = Connection(
            endpoint=endpoint,
            auth=options.token_from_environment(),
            limits=options.limits(project_rate, project_concurrency, user_rate, endpoint_rate, concurrency),
            retry=options.retry_policy(attempts, timeout, retry_time),
            ca_file=options.ca_file_or_default(ca_file),
            allow_http=allow_http,
        )
        connection.check()
        outputs = Outputs(json=json_file, results=results, html=html_file)
        outputs.check(source=targets)
        if targets == STDOUT and not (yes or dry_run):
            raise ConfigError("--targets - takes stdin, where the question would be answered: add --yes, or --dry-run")
        with spool(targets) as spooled:
            _announce(spooled, targets)
            if dry_run:
                _warn_of_no_files(outputs)
                with to_stdout():
                    _show_plan(spooled, connection)
                return
            if spooled.count and not yes:
                _ask(spooled, connection)
            raise typer.Exit(anyio.run(Cleanup(connection, spooled, outputs, quiet=quiet).run).exit_code)


def _announce(spooled: Spool, source: str) -> None:
    if not spooled.count:
        say(f"warning: {'stdin' if source == STDOUT else source} names no protection group: nothing to do")


def _ask(spooled: Spool, connection: Connection) -> None:
    if not is_interactive():
        raise ConfigError("there is no terminal to ask on: add --yes to delete, or --dry-run to see what would be done")
    if not ask(f"Delete the failed tasks of {_extent(spooled, connection)}? This cannot be undone."):
        raise ConfigError("not confirmed: nothing was sent")


def _extent(spooled: Spool, connection: Connection) -> str:
    groups = f"{spooled.count:,} protection group{'s' * (spooled.count != 1)}"
    projects = f"{spooled.projects:,} project{'s' * (spooled.projects != 1)}"
    return f"{groups} in {projects} at {urlsplit(connection.endpoint).netloc}"


def _show_plan(spooled: Spool, connection: Connection) -> None:
    write = sys.stdout.write
    write(f"Dry run: would delete the failed tasks of {_extent(spooled, connection)}; nothing was sent.\n")
    if spooled.duplicates:
        write(f"Left out: {spooled.duplicates:,} duplicates.\n")
    for number, (project_id, count) in enumerate(spooled.counts()):
        write("" if number else f"\n{'groups':>8}  project\n")
        write(f"{count:>8,}  {printable(project_id)}\n")


def _warn_of_no_files(outputs: Outputs) -> None:
    if flags := ", ".join(flag for flag, _ in outputs.given()):
        say(f"warning: a dry run writes no files: {flags} left out")


# ---- report


@app.command(
    epilog="Exit codes: 0 the report was written; 2 a file is no report, cannot be read, or holds a run twice."
)
def report(
    *,
    files: options.Reports,
    format_: options.ReportFormat = options.Format.TEXT,
    output: options.ReportOutput = STDOUT,
) -> None:
    """Show a JSON report again, or several of them merged into one."""
    with _reported():
        if format_ is options.Format.HTML:
            need_jinja("--format html")
        merged = _merged(files)
        with to_stdout() if output == STDOUT else written_whole(output) as file:
            _FORMATS[format_](merged, file)


def _merged(paths: list[str]) -> Report:
    reports = [(path, _load(path)) for path in paths]
    merged = reports[0][1]
    for path, other in reports[1:]:
        try:
            merged = merged.merge(other)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return merged


def _load(path: str) -> Report:
    name = "stdin" if path == STDOUT else path
    if path == STDOUT and sys.stdin is None:
        raise ConfigError("stdin: the report cannot be read: it is closed")
    try:
        return Report.from_dict(json.loads(sys.stdin.buffer.read() if path == STDOUT else Path(path).read_bytes()))
    except OSError as error:
        raise ConfigError(f"{name}: the report cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not a JSON report: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _write_text(merged: Report, file: TextIO) -> None:
    print_summary(merged, Screen() if file is sys.stdout else Console(file=file, width=100, force_terminal=False))


def _write_html(merged: Report, file: TextIO) -> None:
    file.write(html.render(merged))


_FORMATS: dict[options.Format, Callable[[Report, TextIO], None]] = {
    options.Format.TEXT: _write_text,
    options.Format.JSON: write_json,
    options.Format.HTML: _write_html,
}


# ---- demo and simulate


@app.command(epilog="Exit codes: 0 the client's numbers and the server's agree; 1 they do not; 130 interrupted.")
def demo(
    *,
    json_file: options.Json = None,
    html_file: options.Html = None,
    quiet: options.Quiet = False,
    log_level: options.LogLevel = options.Level.WARNING,
) -> None:
    """See the main job at work, offline: a cleanup over several projects on the embedded simulator."""
    from sdrs_async.command.demo import run_demo

    with _reported(log_level):
        outputs = Outputs(json=json_file, html=html_file)
        outputs.check()
        raise typer.Exit(anyio.run(run_demo, outputs, quiet))


@app.command(epilog="Exit codes: 0 stopped by Ctrl-C or SIGTERM; 2 bad usage, or the port is taken.")
def simulate(
    *,
    port: options.Port = 0,
    projects: options.Projects = 3,
    groups: options.Groups = 4,
    failed_tasks: options.FailedTasks = 2,
    seed: options.Seed = 0,
    latency: options.Latency = 0.0,
    project_rate: options.ServerProjectRate = "none",
    user_rate: options.ServerUserRate = "none",
    fault: options.Faults = None,
) -> None:
    """Run the embedded SDRS and IAM server on 127.0.0.1 until Ctrl-C.

    Prints its URL, then lines for a shell that export working credentials, then an empty line.
    """
    from sdrs_async.command.serving import serve

    with _reported():
        anyio.run(
            partial(
                serve, faults=fault or [], port=port, projects=projects, groups=groups, failed_tasks=failed_tasks,
                seed=seed, latency=latency, project_rate=project_rate, user_rate=user_rate,
            )
        )  # fmt: skip
