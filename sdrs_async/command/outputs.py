"""Where a command writes to: checked before anything else, opened before anything is sent."""

from __future__ import annotations

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from inspect import Parameter
from typing import Annotated, Any, NamedTuple

from sdrs_async.command.documents import Document, unwritable
from sdrs_async.command.flags import Group, output
from sdrs_async.command.results import STDOUT, FailureFile, ResultsFile
from sdrs_async.errors import ConfigError
from sdrs_async.formats.table import FORMATS, Format

__all__ = ["STDOUT", "Opened", "Outputs", "check_apart", "is_same_file"]

_LINES = "Write one JSON line per group as it settles; - is stdout.", "FILE.jsonl|-"
Named = tuple[str, str]
"""What says where a file is, a flag or a variable, and its path."""


class Opened(NamedTuple):
    """The files of a run, while it lasts; `documents` go by their formats, and what goes to stdout is none of them."""

    results: ResultsFile | None
    failures: FailureFile | None
    documents: dict[str, Document]


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
        return [Parameter(name, Parameter.KEYWORD_ONLY, annotation=_flag(name), default=None) for name in names]

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
    def opened(self) -> Iterator[Opened]:
        """Take the places. Raises `ConfigError` for one that cannot be written; then all is as it was."""
        results, documents = self.results, self.documents()
        with ExitStack() as stack:
            yield Opened(
                stack.enter_context(ResultsFile(results)) if results is not None else None,
                stack.enter_context(FailureFile()) if any(shape.whole for shape, _ in documents) else None,
                {
                    shape.name: stack.enter_context(Document(f"--{shape.name}", path))
                    for shape, path in documents
                    if path != STDOUT
                },
            )

    def documents(self) -> list[tuple[Format, str]]:
        """The formats of the whole report that were asked for, each with its path."""
        return [(FORMATS[name], path) for name, path in self._paths.items() if path is not None and name in FORMATS]

    def given(self) -> list[Named]:
        """The flags that were given, each with its path."""
        return [(f"--{name}", path) for name, path in self._paths.items() if path is not None]


def _flag(name: str) -> Any:
    what, metavar = _LINES if name == "results" else (FORMATS[name].help, "FILE|-")
    return Annotated[str | None, output(f"--{name}", what, metavar)]


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
