"""A report as a text, for the terminal. Only the command imports this module: it needs rich (extra `cli`).

What a server sent is never markup: it reaches rich as `Text`, with control characters replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sdrs_async.formats import limits, wording
from sdrs_async.formats.wording import printable
from sdrs_async.limits import Learned
from sdrs_async.report import Report
from sdrs_async.report.remedies import remedy

_MAX_PROJECTS = 15
_MAX_CAUSES = 10
_MAX_EXAMPLES = 3
_MAX_MESSAGE = 200
_WIDE = 100
"""Columns from which the table of projects also has room for their times."""
_ALWAYS = ("done", "gone", "failed")
_COLOR = {"done": "green", "gone": "cyan", "failed": "red", "skipped": "yellow", "unsettled": "yellow"}


def write(report: Report, file: TextIO, *, failures: object = None, fleet_file: bool = False) -> None:
    """Write the summary, with colours where a terminal is. Arguments as of `Format.write`; it shows few failures."""
    console = Console(file=file, width=None if file is sys.stdout else _WIDE)
    with console.capture() as printed:  # rich itself would exit where nobody reads any more
        print_summary(report, console, fleet_file=fleet_file)
    file.write(printed.get())


def print_summary(report: Report, console: Console, *, exit_code: int | None = None, fleet_file: bool = False) -> None:
    """Print the summary of a report: totals, status codes, projects, causes with what to do, speed and result.

    `exit_code` is the command's, where something beside the targets decided it; by default it is the report's.
    `fleet_file`: the accounts came from one.
    Readable from 80 columns on, with and without colours; an id that does not fit goes on in the next line, whole.
    """
    document = report.to_dict()
    for part in (*_parts(document, console.width), *learned_section(report.learned, fleet_file=fleet_file)):
        console.print(part)
    console.print()
    console.print(_facts(document, report.exit_code if exit_code is None else exit_code))


def print_result(report: Report, console: Console, *, exit_code: int) -> None:
    """Print one line: what became of all targets, and the result; `exit_code` as of `print_summary`."""
    document = report.to_dict()
    totals = wording.totals_sentence(document)
    console.print(Text(f"{totals}; {_result(document, exit_code)}"), soft_wrap=True)


def learned_section(learned: Iterable[Learned], *, fleet_file: bool) -> Iterator[RenderableType]:
    """The limits that the server showed, with what keeps to them; nothing where it showed none."""
    if (shown := limits.shown(learned, fleet_file=fleet_file)) is not None:
        yield from _section(limits.HEADING, learned_parts(shown))


def _parts(document: Mapping[str, Any], width: int) -> Iterator[RenderableType]:
    yield Text(wording.totals_sentence(document), style="bold", overflow="fold")
    if document["status_codes"]:
        yield from _section("Status codes", [_status_table(document)])
    if document["projects"]:
        heading = "Projects, the worst first" if len(document["projects"]) > 1 else "Project"
        yield from _section(heading, [_project_table(document, width)])
    if document["causes"]:
        yield from _section("What is not clean, and what to do about it", _causes(document))
    yield from gap_sections(document)


def gap_sections(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What could not be used or seen, with what to do about it; nothing where all could."""
    for heading, (gaps, more) in wording.gaps(document).items():
        if gaps:
            yield from _section(heading, _gaps(gaps, more))


def _section(title: str, parts: Iterable[RenderableType]) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, style="bold")
    for part in parts:
        yield indented(part)


def indented(part: RenderableType, *, above: int = 0, by: int = 2) -> Padding:
    """It, `by` columns to the right, with so many empty lines `above`."""
    return Padding(part, (above, 0, 0, by), expand=False)


def table(columns: Iterable[str], texts: Collection[str]) -> Table:
    """A table with these columns; `texts`: those of them that are folded where they do not fit, the others hold numbers.

    Without lines: they break in logs and in terminals that know only ASCII.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in columns:
        made.add_column(name, overflow="fold") if name in texts else made.add_column(
            name, justify="right", no_wrap=True
        )
    return made


def facts(shown: Mapping[str, Text]) -> Table:
    """Names and what stands beside each."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in shown.items():
        grid.add_row(name, value)
    return grid


def _status_table(document: Mapping[str, Any]) -> Table:
    columns = "code", "targets" if document["project_level"]["planned"] else "groups", "meaning"
    shown = table(columns, {"meaning"})
    for key, count in document["status_codes"].items():
        shown.add_row(Text(key), f"{count:,}", Text(wording.status_meaning(key, document)))
    return shown


def _project_table(document: Mapping[str, Any], width: int) -> Table:
    """The projects with their groups; the project level of all of them is a row of its own."""
    level, wide, several = document["project_level"], width >= _WIDE, wording.has_several_accounts(document)
    groups = ["planned", *(group for group in _COLOR if group in _ALWAYS or document["targets"][group])]
    owner = "account and project" if several else "project"
    shown = table([owner, "groups", *groups[1:], *["time"] * wide], {owner})
    order = wording.worst_first(document)
    for project in order[:_MAX_PROJECTS]:
        times = [wording.duration(project["duration_s"])] if wide else []
        # A line for each: beside a long name, an id would be cut into pieces.
        names = [project["account"]] * several + [project["project_id"]]
        name = Text("\n".join(printable(name) for name in names if name))
        shown.add_row(name, *_counts(project["targets"], groups), *times)
    if rest := order[_MAX_PROJECTS:]:
        sums = {group: sum(project["targets"][group] for project in rest) for group in groups}
        shown.add_row(Text(f"and {len(rest):,} more", style="italic"), *_counts(sums, groups))
    if level["planned"]:
        shown.add_row(Text(wording.PROJECT_LEVEL, style="italic"), *_counts(level, groups))
    return shown


def _counts(targets: Mapping[str, int], groups: Iterable[str]) -> list[Text]:
    return [Text(f"{targets[group]:,}", style=_COLOR.get(group, "") if targets[group] else "dim") for group in groups]


def _causes(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    for number, cause in enumerate(document["causes"][:_MAX_CAUSES]):
        head, *rest = _cause(cause, document)
        yield indented(head, above=min(number, 1), by=0)
        yield from rest
    if others := document["causes"][_MAX_CAUSES:]:
        groups = sum(cause["count"] for cause in others)
        more = Text(f"and {groups:,} more, of {len(others)} other causes", style="italic")
        yield indented(more, above=1, by=0)


def _cause(cause: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[RenderableType]:
    color = "yellow" if cause["verdict"] == "skipped" else "red"
    name = " ".join(printable(part) for part in (cause["verdict"], cause["error_code"]) if part)
    message = f": {_shortened(printable(cause['message']))}" if cause["message"] else ""
    yield Text.assemble((f"{cause['count']:,} x {name}", color), message, overflow="fold")
    yield indented(Text(printable(cause["remedy"]), style="bold", overflow="fold"))
    same = (one for one in document["failures"] if _is_of(one, cause))
    examples, several = list(islice(same, _MAX_EXAMPLES)), wording.has_several_accounts(document)
    for failure in examples:
        yield indented(Text(_example(failure, with_account=several), overflow="fold"))
    if examples and (more := cause["count"] - len(examples)):
        yield indented(Text(f"and {more:,} more", style="italic"))


def _is_of(failure: Mapping[str, Any], cause: Mapping[str, Any]) -> bool:
    """The remedy tells apart the causes that share verdict and error code."""
    verdict, code = failure["verdict"], failure["error_code"]
    same = (verdict, code) == (cause["verdict"], cause["error_code"])
    return same and remedy(verdict, code, failure["message"]) == str(cause["remedy"])


def _gaps(gaps: list[wording.Gap], more: str) -> Iterator[RenderableType]:
    for number, gap in enumerate(gaps):
        head = Text(_shortened(printable(gap.happened)), style="red", overflow="fold")
        yield indented(head, above=min(number, 1), by=0)
        yield indented(Text(gap.remedy, style="bold"))
        for name in gap.names:
            yield indented(Text(printable(name), overflow="fold"))
    if more:
        yield indented(Text(printable(more), style="italic"), above=1, by=0)


def learned_parts(learned: limits.Shown) -> Iterator[RenderableType]:
    """The sentences, and the lines that keep to them."""
    for sentence in learned.sentences:
        yield Text(printable(sentence), overflow="fold")
    yield Text(learned.purpose)
    for line in learned.lines:
        yield indented(Text(printable(line), style="bold", overflow="fold"))


def _shortened(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 3]}..."


def _example(failure: Mapping[str, Any], *, with_account: bool) -> str:
    owner = f"{failure['account']}: " if with_account and failure["account"] else ""
    request = f" (request {failure['request_id']})" if failure["request_id"] else ""
    group = failure["server_group_id"]
    level = " (project level)" if group is None else f"/{group}"
    return printable(f"{owner}{failure['project_id']}{level}{request}")


def _facts(document: Mapping[str, Any], exit_code: int) -> Table:
    merged = f" ({len(document['runs'])} runs merged)" if len(document["runs"]) > 1 else ""
    started = wording.moment(document["started_at"])
    texts = {**wording.facts(document), "Run": f"{printable(document['run_id'])}{merged}, started {started}"}
    if document["error"] is not None:
        texts["Error"] = printable(document["error"])
    result = Text(_result(document, exit_code), style="bold green" if exit_code == 0 else "bold red")
    return facts({name: Text(value) for name, value in texts.items()} | {"Result": result})


def _result(document: Mapping[str, Any], exit_code: int) -> str:
    return f"{wording.exit_meaning(exit_code, document)} (exit code {exit_code})"
