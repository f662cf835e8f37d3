"""Where a command writes to and what: checked before anything else, opened before anything is sent."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from inspect import Parameter
from io import StringIO
from signal import Signals
from typing import Any, TextIO

from sdrs_async.command.documents import Document, is_folder, kept_elsewhere, unwritable
from sdrs_async.command.endings import Ending, as_error
from sdrs_async.command.flags import Group, output, parameter
from sdrs_async.command.results import FailureFile, ResultsFile
from sdrs_async.command.streams import STDOUT
from sdrs_async.errors import ConfigError, SdrsError
from sdrs_async.formats.table import FORMATS, Format
from sdrs_async.models import Outcome
from sdrs_async.report import Report

_LINES = "Write one JSON line per group as it settles; - is stdout.", "FILE.jsonl|-"
Named = tuple[str, str]
"""What says where a file is, a flag or a variable, and its path."""


class Outputs(Group):
    """Where a run writes to: a path for each format that has a flag, and `results` for one line per target.

    `-` is stdout, and `None` nowhere.
    """

    lines = True
    """Whether `--results` is one of the flags."""

    def __init__(self, **paths: str | None) -> None:
        self._paths = paths

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """The flags."""
        first, *others = (each.name for each in FORMATS.values() if each.help)
        names = [first, *["results"] * cls.lines, *others]
        return [parameter(name, str | None, _flag(name)) for name in names]

    @property
    def results(self) -> str | None:
        """Where the lines go."""
        return self._paths.get("results")

    @property
    def on_stdout(self) -> bool:
        """Whether stdout is taken, so that the summary has to go to stderr."""
        return STDOUT in self._paths.values()

    def check(self, inputs: Iterable[Named] = ()) -> None:
        """Raise `ConfigError` for what is no place to write to, and for a file that is used twice. Changes no file.

        `inputs`: the files that are read.
        """
        for shape, _ in self.documents():
            shape.check(f"--{shape.name}")
        check_apart(self.given(), inputs)

    @contextmanager
    def opened(self) -> Iterator[Records]:
        """Take the places. Raises `ConfigError` for one that cannot be written; then all is as it was."""
        results, documents = self.results, self.documents()
        with ExitStack() as stack:
            yield Records(
                stack.enter_context(ResultsFile(results)) if results is not None else None,
                stack.enter_context(FailureFile()) if any(shape.whole for shape, _ in documents) else None,
                {shape: stack.enter_context(Document(f"--{shape.name}", path)) for shape, path in documents},
            )

    def documents(self) -> list[tuple[Format, str]]:
        """The formats of the whole report that were asked for, each with its path."""
        return [(FORMATS[name], path) for name, path in self._paths.items() if path is not None and name in FORMATS]

    def given(self) -> list[Named]:
        """The flags that were given, each with its path."""
        return [(f"--{name}", path) for name, path in self._paths.items() if path is not None]


def _flag(name: str) -> Any:
    what, metavar = _LINES if name == "results" else (FORMATS[name].help, "FILE|-")
    return output(what, metavar)


# ---- what is written


@dataclass(slots=True)
class Records:
    """The files of one cleanup, whose places are taken. One that fails is given up, and takes no other with it."""

    results: ResultsFile | None
    failures: FailureFile | None
    documents: dict[Format, Document]

    def begin(self, endpoints: Mapping[str, str]) -> None:
        """Something is about to be deleted at these endpoints, which are by the accounts' names.

        Raises what shows now already that there would be no record of it.
        """
        for shape in self.documents:
            shape.write(Report(), StringIO())  # loads all that it takes, while there is a descriptor for it
        if self.results is not None:
            self.results.begin(endpoints)

    async def take(self, outcome: Outcome) -> list[SdrsError]:
        """Record a target that has settled; what went wrong with that."""
        mishaps = []
        try:
            if self.failures is not None:
                self.failures.add(outcome)
        except Exception as error:
            self.failures = None
            mishaps.append(as_error(error))
        try:
            if self.results is not None:
                await self.results.add(outcome)
        except Exception as error:
            self.results = None
            mishaps.append(as_error(error))
        return mishaps

    def wait_no_more(self) -> None:
        """From now on, nothing waits for somebody who reads the results."""
        if self.results is not None:
            self.results.wait_no_more()

    def write(self, report: Report, ending: Ending, signals: Iterable[Signals]) -> None:
        """Write the documents, the one on stdout last, since somebody may have to read it; `ending` learns how it went.

        What cannot be written where it belongs is kept elsewhere, and told all the same. `signals`: as for `waiting`.
        """
        if self.results is not None:
            with ending.noting():
                self.results.check()
        for shape, document in sorted(self.documents.items(), key=lambda one: one[1].path == STDOUT):
            with ending.noting():
                fill = partial(shape.write, report, failures=self.failures, fleet_file=ending.fleet_file)
                _save(document, fill, f"report{shape.suffix}", signals)
                if document.path != STDOUT:
                    ending.written.append(document.path)


def _save(document: Document, fill: Callable[[TextIO], None], name: str, signals: Iterable[Signals]) -> None:
    try:
        document.save(fill, signals)
    except ConfigError as error:
        where = kept_elsewhere(name if document.path == STDOUT else document.path, fill)
        raise ConfigError(f"{error}; {where}") from None


# ---- files that are the same, however they are spelled


def check_apart(outputs: Iterable[Named], inputs: Iterable[Named] = ()) -> None:
    """Raise `ConfigError` for an output that is an input, another output or what the shell writes the streams to."""
    taken: dict[object, str] = {}
    for name, path in inputs:
        with suppress(OSError, ValueError):  # whoever reads it says so
            taken.setdefault(_identity(path, sys.stdin), name)
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        taken.setdefault(_regular(stream), name)
    for flag, path in outputs:
        if not path:
            raise ConfigError(f"{flag}: the path is empty")
        try:
            place = STDOUT if path == STDOUT else _identity(path)
        except (OSError, ValueError) as error:
            raise unwritable(flag, path, error) from None
        # Nothing is lost in the null device that one output could take from another.
        other = flag if place == _identity(os.devnull) else taken.setdefault(place, flag)
        if other != flag:
            raise ConfigError(f"{other} and {flag} cannot both be {'stdout' if path == STDOUT else repr(path)}")


def _identity(path: str, stream: Any = None) -> object:
    """Equal for all paths of one file; `stream`: what `-` is. Raises `OSError` and `ValueError`."""
    if path == STDOUT:
        return _regular(stream)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if path.endswith(os.sep):
            raise is_folder() from None
        folder, name = os.path.split(os.path.realpath(path))
        place = os.stat(folder)
        # Whether the system tells such names apart would only show when the first of two files is there.
        return place.st_dev, place.st_ino, unicodedata.normalize("NFC", name).casefold()
    if stat.S_ISDIR(found.st_mode):
        raise is_folder()
    return found.st_dev, found.st_ino


def _regular(stream: Any) -> object:
    """The identity of a stream of the process, if that is a file on disk; else an object that equals nothing."""
    with suppress(AttributeError, OSError, ValueError):  # closed, or none of the system's
        found = os.fstat(stream.fileno())
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return object()
