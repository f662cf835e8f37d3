"""The command `report`: a report is shown again, or several are merged."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import TextIO

from rich.console import Console

from sdrs_async.command import flags
from sdrs_async.command.documents import Document
from sdrs_async.command.endings import reported
from sdrs_async.command.outputs import STDOUT, check_apart, need_jinja
from sdrs_async.command.terminal import Screen, to_stdout
from sdrs_async.errors import ConfigError
from sdrs_async.formats import html
from sdrs_async.formats.json import write_json
from sdrs_async.formats.text import print_summary
from sdrs_async.report import Report

__all__ = ["report"]


def report(
    *,
    files: flags.Reports,
    format_: flags.ReportFormat = flags.Format.TEXT,
    output: flags.ReportOutput = STDOUT,
) -> None:
    """Show a JSON report again, or several of them merged into one."""
    with reported():
        if format_ is flags.Format.HTML:
            need_jinja("--format html")
        # A report may take the place of one that went into it, but nothing else may: it could not be read again.
        read = [] if format_ is flags.Format.JSON else [("a report that is read", path) for path in files]
        check_apart([("--output", output)], read)
        write, merged = _FORMATS[format_], _merged(files)
        if output == STDOUT:
            with to_stdout() as file:
                write(merged, file)
            return
        text = StringIO()
        write(merged, text)
        with Document("--output", output) as document:
            document.save(lambda file: print(text.getvalue(), end="", file=file), (SIGINT, SIGTERM))


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


_FORMATS: dict[flags.Format, Callable[[Report, TextIO], None]] = {
    flags.Format.TEXT: _write_text,
    flags.Format.JSON: write_json,
    flags.Format.HTML: _write_html,
}
