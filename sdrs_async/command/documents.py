"""Files that a command writes: readable to their owner only, opened beforehand, and whole or not there at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from signal import Signals
from typing import TextIO

from sdrs_async.command.streams import STDOUT, give_up, to_stdout, waiting
from sdrs_async.errors import ConfigError

_PRIVATE = 0o600
_NEVER_WAIT = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY


class Document(AbstractContextManager["Document"]):
    """A file whose place is taken now, and whose text comes with `save`; without that, all stays as it was.

    What is there keeps its mode; a pipe, a device or stdout, which `-` is, is written to, and not replaced. Raises
    `ConfigError` naming `flag` and path.
    """

    def __init__(self, flag: str, path: str) -> None:
        self.path = path
        self._flag = flag
        self._part: str | None = None
        if path == STDOUT:
            return
        try:
            descriptor, self._part, self._final = _place(path)
        except (OSError, ValueError) as error:
            raise unwritable(flag, path, error) from None
        self._file = open(descriptor, "w", encoding="utf-8", newline="\n")  # noqa: SIM115 - `__exit__` closes it

    def __exit__(self, *error: object) -> None:
        if self.path != STDOUT:
            with suppress(OSError):
                self._file.close()
        if self._part is not None:
            with suppress(OSError):
                os.unlink(self._part)

    def save(self, fill: Callable[[TextIO], None], signals: Iterable[Signals] = ()) -> None:
        """Write what `fill` writes, once. `signals`: see `waiting`. Raises `ConfigError` when it cannot be written."""
        if self.path == STDOUT:
            with to_stdout(signals) as stdout:
                fill(stdout)
            return
        try:
            with waiting(self._file, signals):
                self._write(fill)
        except BaseException as error:
            # What its buffer still holds has nowhere to go: closing it must not try again.
            give_up(self._file)
            if isinstance(error, OSError):
                raise unwritable(self._flag, self.path, error) from None
            raise

    def _write(self, fill: Callable[[TextIO], None]) -> None:
        if is_regular(self._file.fileno()):
            self._file.truncate(0)
        fill(self._file)
        self._file.flush()
        if self._part is not None:
            _resemble(self._final, self._file.fileno())
            self._file.close()  # some file systems only find out here that the disk is full
            os.replace(self._part, self._final)
            self._part = None


def _place(path: str) -> tuple[int, str | None, str]:
    """A descriptor to write to, the temporary file that it belongs to (`None`: it is the file itself), the file's path.

    Raises `OSError`, and `ValueError` for what can be no path.
    """
    try:
        existing: int | None = opened(path)
    except FileNotFoundError:
        if path.endswith(os.sep):
            raise is_folder() from None
        existing = None
    final = os.path.realpath(path)
    if existing is not None and not is_regular(existing):
        return existing, None, path
    try:
        # So many characters of the name leave room for the rest of it, whatever letters they are.
        descriptor, part = tempfile.mkstemp(".part", f"{os.path.basename(final)[:30]}.", os.path.dirname(final))
    except OSError:
        if existing is None:
            raise
        return existing, None, final  # it may be writable where its folder is not
    if existing is not None:
        os.close(existing)
    return descriptor, part, final


def opened(path: str, *, create: bool = False) -> int:
    """A descriptor to write to a file, pipe or device; nothing in it changes yet. It never waits.

    Raises `OSError`, also for a pipe that nobody reads, and `ValueError` for what can be no path.
    """
    try:
        descriptor = os.open(path, _NEVER_WAIT | (os.O_CREAT if create else 0), _PRIVATE)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(os.stat(path).st_mode):
            raise OSError(errno.ENXIO, "nobody reads this pipe: start its reader first") from None
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def is_regular(descriptor: int) -> bool:
    """Whether it is a file on disk, no pipe, device, socket or terminal."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def is_folder() -> OSError:
    """The error of the system for a folder where a file is to be."""
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _resemble(final: str, descriptor: int) -> None:
    """Give a new file owner and mode of the one that it will replace; it is stricter where it cannot have the owner."""
    try:
        old = os.stat(final)
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(old.st_mode) & 0o777
    try:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    except OSError:
        mode &= 0o700
    os.fchmod(descriptor, mode)


def kept_elsewhere(path: str, fill: Callable[[TextIO], None]) -> str:
    """Write what could not be written to `path` to a temporary file that stays; in words, where that is."""
    kept = None
    try:
        descriptor, kept = tempfile.mkstemp("", f"{os.path.basename(path)[:30]}.")
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            fill(file)
    except OSError as error:
        if kept is not None:
            os.unlink(kept)
        return f"nor can it be kept in {tempfile.gettempdir()}: {error.strerror or error}"
    return f"it is in {kept}"


def unwritable(flag: str, path: str, error: Exception) -> ConfigError:
    """What is said when a file cannot be written."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConfigError(f"{flag}: {path} cannot be written: {reason}")
