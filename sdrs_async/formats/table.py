"""The formats that a report can be shown in: the flags of the command, its outputs and `report --format` follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, TextIO

from sdrs_async.errors import ConfigError
from sdrs_async.report import Report


class Format(NamedTuple):
    """A format. The module of this package that has its name writes it, by a function `write` as the one here.

    `help`: of the flag `--name`, which writes a file in it; without one there is no such flag. `needs`: the library
    that it takes, and the extra that brings it. `whole`: it holds every failure, and can be read back.
    """

    name: str
    suffix: str
    help: str = ""
    needs: tuple[str, str] | None = None
    whole: bool = False

    def check(self, flag: str) -> None:
        """Raise `ConfigError` when its library is not installed; `flag`: what asks for the format."""
        if self.needs is not None and find_spec(self.needs[0]) is None:
            raise ConfigError(f"{flag} needs the extra `{self.needs[1]}`: pip install 'sdrs-async[{self.needs[1]}]'")

    def write(
        self,
        report: Report,
        file: TextIO,
        *,
        failures: Iterable[Mapping[str, Any]] | None = None,
        fleet_file: bool = False,
    ) -> None:
        """Write the report to a file that takes UTF-8.

        `failures`: lines as `report.failure_line` makes them, instead of those that the report holds; `fleet_file`: the
        accounts came from one.
        """
        import_module(f"sdrs_async.formats.{self.name}").write(report, file, failures=failures, fleet_file=fleet_file)


FORMATS = {
    each.name: each
    for each in (
        Format("text", ".txt", needs=("rich", "cli")),
        Format("json", ".json", "Write the report as JSON, with every failure; - is stdout.", whole=True),
        Format("html", ".html", "Write the report as one self-contained HTML page; - is stdout.", ("jinja2", "html")),
    )
}
"""By name, in the order of the help."""
