"""The command `report`: a report is shown again, or several are merged."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Annotated

import typer

from sdrs_async.command.documents import Document
from sdrs_async.command.options import with_flags
from sdrs_async.command.outputs import check_apart
from sdrs_async.command.streams import STDOUT
from sdrs_async.errors import ConfigError
from sdrs_async.formats.table import FORMATS
from sdrs_async.report import Report

NOTES = "Exit codes: 0 the report was written; 2 a file is no report, cannot be read, or holds a run twice."

if TYPE_CHECKING:
    Shape = str
else:
    Shape = StrEnum("Shape", {name.upper(): name for name in FORMATS})
_TEXT = Shape("text")


@with_flags
def report(
    *,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="JSON reports, of different runs; - reads stdin.", show_default=False),
    ],
    format_: Annotated[Shape, typer.Option("--format", help="How to show it.")] = _TEXT,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE|-", help="Where to write it; - is stdout.")
    ] = STDOUT,
) -> int:
    """Show a JSON report again, or several of them merged into one."""
    shape = FORMATS[format_]
    shape.check(f"--format {shape.name}")
    # A report may take the place of one that went into it, but nothing else may: it could not be read again.
    read = [] if shape.whole else [("a report that is read", path) for path in files]
    check_apart([("--output", output)], read)
    fill = partial(shape.write, _merged(files))
    with Document("--output", output) as document:
        document.save(fill, () if output == STDOUT else (SIGINT, SIGTERM))
    return 0


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
        reason = f"the report cannot be read: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        reason = f"not a JSON report: {error}"
    except ConfigError as error:
        reason = str(error)
    raise ConfigError(f"{name}: {reason}")
