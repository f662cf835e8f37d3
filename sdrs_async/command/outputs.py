"""Where a command writes to: checked before anything else, opened before anything is sent."""

from __future__ import annotations

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

from sdrs_async.command.documents import Document, unwritable
from sdrs_async.command.results import STDOUT, FailureFile, ResultsFile
from sdrs_async.errors import ConfigError

__all__ = ["STDOUT", "Opened", "Outputs", "check_apart", "is_same_file", "need_jinja"]

Named = tuple[str, str]
"""What says where a file is, a flag or a variable, and its path."""


class Opened(NamedTuple):
    """The files of a run, while it lasts; `documents` go by their flags, and what goes to stdout is none of them."""

    results: ResultsFile | None
    failures: FailureFile | None
    documents: dict[str, Document]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a run writes to: paths, `-` for stdout, `None` for nowhere."""

    json: str | None = None
    results: str | None = None
    html: str | None = None

    @property
    def on_stdout(self) -> bool:
        """Whether stdout is taken, so that the summary has to go to stderr."""
        return STDOUT in (self.json, self.results, self.html)

    def check(self, inputs: Iterable[Named] = ()) -> None:
        """Raise `ConfigError` for what is no place to write to, and for a file that is used twice. Changes no file.

        `inputs`: the files that are read.
        """
        if self.html is not None:
            need_jinja("--html")
        check_apart(self.given(), inputs)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Take the places. Raises `ConfigError` for one that cannot be written; then all is as it was."""
        with ExitStack() as stack:
            results = None if self.results is None else stack.enter_context(ResultsFile(self.results))
            failures = None if self.json is None else stack.enter_context(FailureFile())
            whole = ((flag, path) for flag, path in self.given() if flag != "--results" and path != STDOUT)
            documents = {flag: stack.enter_context(Document(flag, path)) for flag, path in whole}
            yield Opened(results, failures, documents)

    def given(self) -> list[Named]:
        """The flags that were given, each with its path."""
        flags = (("--json", self.json), ("--results", self.results), ("--html", self.html))
        return [(flag, path) for flag, path in flags if path is not None]


def need_jinja(flag: str) -> None:
    """Raise `ConfigError` when the library that HTML pages need is not installed."""
    if find_spec("jinja2") is None:
        raise ConfigError(f"{flag} needs the extra `html`: pip install 'sdrs-async[html]'")


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
        # Nothing is lost in the null device that one output could take from another.
        other = flag if _is_null(path) else taken.setdefault(_output(flag, path), flag)
        if other != flag:
            raise ConfigError(f"{other} and {flag} cannot both be {'stdout' if path == STDOUT else repr(path)}")


def is_same_file(path: str, other: str) -> bool:
    """Whether these are paths of one file that is there."""
    with suppress(OSError, ValueError):
        return os.path.samefile(path, other)
    return False


def _output(flag: str, path: str) -> object:
    try:
        return STDOUT if path == STDOUT else _identity(path)
    except (OSError, ValueError) as error:
        raise unwritable(flag, path, error) from None


def _identity(path: str, stream: Any = None) -> object:
    """Equal for all paths of one file; `stream`: what `-` is. Raises `OSError` and `ValueError`."""
    if path == STDOUT:
        return _regular(stream)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if path.endswith(os.sep):
            raise _is_folder() from None
        folder, name = os.path.split(os.path.realpath(path))
        place = os.stat(folder)
        # Whether the system tells such names apart would only show when the first of two files is there.
        return place.st_dev, place.st_ino, unicodedata.normalize("NFC", name).casefold()
    if stat.S_ISDIR(found.st_mode):
        raise _is_folder()
    return found.st_dev, found.st_ino


def _is_folder() -> OSError:
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _regular(stream: Any) -> object:
    """The identity of a stream of the process, if that is a file on disk; else an object that equals nothing."""
    with suppress(AttributeError, OSError, ValueError):  # closed, or none of the system's
        found = os.fstat(stream.fileno())
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return object()


def _is_null(path: str) -> bool:
    return is_same_file(path, os.devnull)
