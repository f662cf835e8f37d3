"""What a cleanup leaves behind: a record of each target as it settles, and the documents of the whole at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import StringIO
from signal import Signals
from typing import TextIO

from sdrs_async.command.documents import kept_elsewhere
from sdrs_async.command.endings import Ending
from sdrs_async.command.errors import as_error
from sdrs_async.command.outputs import STDOUT, Opened, Outputs
from sdrs_async.command.streams import to_stdout
from sdrs_async.errors import ConfigError, SdrsError
from sdrs_async.formats.table import Format
from sdrs_async.models import Outcome
from sdrs_async.report import Report

__all__ = ["Records"]


class Records:
    """The files of one cleanup, whose places are taken. One that fails is given up, and takes no other with it."""

    def __init__(self, outputs: Outputs, opened: Opened, *, fleet_file: bool = False) -> None:
        self._given = outputs.documents()
        self._results, self._failures, self._documents = opened
        self._fleet_file = fleet_file

    def begin(self, endpoints: Mapping[str, str]) -> None:
        """Something is about to be deleted at these endpoints, which are by the accounts' names.

        Raises what shows now already that there would be no record of it.
        """
        for shape, _ in self._given:
            shape.write(Report(), StringIO())  # loads all that it takes, while there is a descriptor for it
        if self._results is not None:
            self._results.begin(endpoints)

    async def take(self, outcome: Outcome) -> list[SdrsError]:
        """Record a target that has settled; what went wrong with that."""
        mishaps = []
        try:
            if self._failures is not None:
                self._failures.add(outcome)
        except Exception as error:
            self._failures = None
            mishaps.append(as_error(error))
        try:
            if self._results is not None:
                await self._results.add(outcome)
        except Exception as error:
            self._results = None
            mishaps.append(as_error(error))
        return mishaps

    def wait_no_more(self) -> None:
        """From now on, nothing waits for somebody who reads the results."""
        if self._results is not None:
            self._results.wait_no_more()

    def write(self, report: Report, ending: Ending, signals: Iterable[Signals], *, quiet: bool = False) -> None:
        """Write the documents, the one on stdout last, since somebody may have to read it; `ending` learns how it went.

        `signals`: as for `waiting`; `quiet`: nobody wants to hear what was written.
        """
        if self._results is not None:
            with ending.noting():
                self._results.check()
        for shape, path in sorted(self._given, key=lambda given: given[1] == STDOUT):
            with ending.noting():
                fill = partial(shape.write, report, failures=self._failures, fleet_file=self._fleet_file)
                self._save(shape, path, fill, signals)
                if path != STDOUT and not quiet:
                    ending.written.append(path)

    def _save(self, shape: Format, path: str, fill: Callable[[TextIO], None], signals: Iterable[Signals]) -> None:
        """What cannot be written where it belongs is kept elsewhere. Raises `ConfigError` all the same."""
        try:
            if path != STDOUT:
                self._documents[shape.name].save(fill, signals)
                return
            with to_stdout(signals) as file:
                fill(file)
        except ConfigError as error:
            where = kept_elsewhere(f"report{shape.suffix}" if path == STDOUT else path, fill)
            raise ConfigError(f"{error}; {where}") from None
