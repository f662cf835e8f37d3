"""Files that the command writes: who may read them, what is left of what was there, and what is no place to write."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from sdrs_async.command.documents import Document, kept_elsewhere
from sdrs_async.command.outputs import Outputs, check_apart
from sdrs_async.errors import ConfigError
from tests.support.command import texts


@pytest.fixture(autouse=True)
def _open_to_all() -> Iterator[None]:
    """A umask that would let everybody read and write what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def save(path: Path, text: str = "new") -> None:
    """Write a document."""
    with Document("--json", str(path)) as document:
        document.save(lambda file: print(text, end="", file=file))


def test_files_are_private_from_their_first_byte_on(tmp_path: Path) -> None:
    """Whatever the umask, nobody else can read a file of a run, neither at the end nor while it is being written."""
    outputs = Outputs(json=str(tmp_path / "j"), results=str(tmp_path / "r"), html=str(tmp_path / "h"))
    with outputs.opened() as files:
        assert [mode(path) for path in tmp_path.iterdir()] == [0o600] * 3
        assert files.results is not None
        files.results.begin({})
        for document in files.documents.values():
            document.save(lambda file: print("x", file=file))
    assert {path.name: mode(path) for path in tmp_path.iterdir()} == {"j": 0o600, "r": 0o600, "h": 0o600}


@pytest.mark.parametrize("its", [0o644, 0o600, 0o400, 0o000], ids=oct)
def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path, its: int) -> None:
    """Who may read a file that the user has made is the user's choice, in both directions."""
    path = tmp_path / "report.json"
    path.touch(its)
    if not os.access(path, os.W_OK):
        pytest.skip("only root may write to it")
    save(path)
    assert (mode(path), path.read_text("utf-8") if its & 0o400 else "new") == (its, "new")


def test_a_file_that_is_there_keeps_its_group_or_loses_its_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode is about its own group: where that cannot be given to the new file, no other group gets the right."""
    path = tmp_path / "report.json"
    path.touch(0o640)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: given.append((uid, gid)))
    save(path)
    assert (given, mode(path)) == ([(path.stat().st_uid, path.stat().st_gid)], 0o640)

    def refuse(fd: int, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, "not allowed")

    monkeypatch.setattr(os, "fchown", refuse)
    save(path)
    assert mode(path) == 0o600


def test_a_document_that_is_never_written_leaves_no_trace(tmp_path: Path) -> None:
    """Until the report is there, the one before it is, and beside it only while the run lasts there is one more."""
    path = tmp_path / "report.json"
    path.write_text("old", "utf-8")
    with Document("--json", str(path)):
        assert len(texts(tmp_path)) == 2
    assert texts(tmp_path) == {"report.json": "old"}


def test_results_that_are_never_begun_leave_no_trace(tmp_path: Path) -> None:
    """A run that deletes nothing empties no file of results and makes none, also through a link."""
    (tmp_path / "old").write_text("old\n", "utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "later")
    for name in ("old", "new", "link"):
        with Outputs(results=str(tmp_path / name)).opened():
            pass
    assert sorted(os.listdir(tmp_path)) == ["link", "old"]
    assert (tmp_path / "old").read_text("utf-8") == "old\n"


def test_results_that_are_begun_are_those_of_this_run(tmp_path: Path) -> None:
    """Nothing of the lines of another run stays behind."""
    (tmp_path / "results").write_text("old\n", "utf-8")
    with Outputs(results=str(tmp_path / "results")).opened() as files:
        assert files.results is not None
        files.results.begin({})
    assert texts(tmp_path) == {"results": ""}


def test_what_a_kill_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """A temporary file of a process that had the same number does not stop this one."""
    (tmp_path / f"report.json.{os.getpid()}.part").touch()
    save(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text("utf-8") == "new"


def test_a_name_as_long_as_names_can_be_is_one(tmp_path: Path) -> None:
    """The temporary file has a name of its own, which is never longer than that of the report."""
    for name in ("n" * 255, "\U0001f600" * 63, "\xe4" * 127):
        save(tmp_path / name)
        assert (tmp_path / name).read_text("utf-8") == "new"


def test_a_file_may_be_writable_where_its_folder_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the file itself is written, and what it held before is there until then; a new one is refused at once."""

    def refuse(*args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    path = tmp_path / "report.json"
    with pytest.raises(ConfigError, match=r"--json: .*report\.json cannot be written: Permission denied"):
        save(path)
    path.write_text("what was there is longer", "utf-8")
    with Document("--json", str(path)) as document:
        assert path.read_text("utf-8") == "what was there is longer"
        document.save(lambda file: print("new", end="", file=file))
    assert texts(tmp_path) == {"report.json": "new"}


def test_what_cannot_be_kept_anywhere_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no disk takes the report, nothing of it is left, and the message says of both places why."""

    def fill(file: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert kept_elsewhere("x", fill) == f"nor can it be kept in {tmp_path}: No space left on device"
    assert os.listdir(tmp_path) == []


def test_a_pipe_that_is_given_up_is_given_up(tmp_path: Path) -> None:
    """What a signal took out of its wait for a reader does not wait again when the pipe is closed."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    full = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while os.write(full, bytes(4096)):
            pass

    def fill(file: TextIO) -> None:
        file.write("a report that fits into any buffer")
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()

    with (
        Document("--json", str(pipe)) as document,
        pytest.raises(ConfigError, match="cannot be written: nobody reads it"),
    ):
        document.save(fill, [signal.SIGUSR1])
    for end in (reader, full):
        os.close(end)


# ---- which file it is


def test_files_are_told_apart_by_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard link, a symbolic one and another spelling of a path are the same file, for inputs as for outputs."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("kept", "utf-8")
    os.link("file", "hard")
    Path("soft").symlink_to("file")
    for path in ("file", "./file", str(tmp_path / "file"), "hard", "soft"):
        with pytest.raises(ConfigError, match="--fleet and --json cannot both be"):
            check_apart([("--json", path)], [("--fleet", "file")])
        with pytest.raises(ConfigError, match="--json and --html cannot both be"):
            check_apart([("--json", "file"), ("--html", path)])
    check_apart([("--json", "file"), ("--html", "new")], [("--fleet", "other"), ("--ca-file", "no/such/folder")])


def test_names_that_one_system_takes_for_the_same_are_refused_on_all(tmp_path: Path) -> None:
    """Two new files whose names differ in case, or in how an accent is spelled, may turn out to be one."""
    for one, other in (("report", "Report"), ("\u00e4", "a\u0308")):
        with pytest.raises(ConfigError, match="--json and --html cannot both be"):
            check_apart([("--json", str(tmp_path / one)), ("--html", str(tmp_path / other))])
    for name in ("report", "Report"):
        (tmp_path / name).touch()
    check_apart([("--json", str(tmp_path / "report")), ("--html", str(tmp_path / "Report"))])


NO_PLACES = {
    "missing folder": ("gone/x", "No such file or directory"),
    "file as folder": ("file/x", "Not a directory"),
    "folder": ("folder", "Is a directory"),
    "new folder": ("new/", "Is a directory"),
    "long name": ("n" * 256, "File name too long"),
    "loop": ("loop", "Too many levels of symbolic links"),
    "NUL": ("a\0b", "embedded null byte"),
    "half a letter": ("a\ud800b", "surrogates not allowed"),
    "pipe": ("pipe", "nobody reads this pipe: start its reader first"),
}


@pytest.mark.parametrize("flag", ["json", "results", "html"])
@pytest.mark.parametrize(("name", "reason"), NO_PLACES.values(), ids=NO_PLACES)
def test_what_is_no_place_to_write_is_refused_at_once(tmp_path: Path, flag: str, name: str, reason: str) -> None:
    """Each is one message with flag, path and reason when the outputs are opened; opening a pipe does not wait."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir(tmp_path))
    outputs = Outputs(**{flag: f"{tmp_path}/{name}"})
    with pytest.raises(ConfigError, match=reason) as caught, outputs.opened():
        pass
    assert str(caught.value).startswith(f"--{flag}: {tmp_path}/{name} cannot be written: ")
    assert sorted(os.listdir(tmp_path)) == before
    if name != "pipe":
        with pytest.raises(ConfigError, match=reason):
            outputs.check()


def test_a_working_directory_that_is_gone_is_no_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path leads nowhere then; an absolute one is as good as ever."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    for flag in ("json", "results", "html"):
        outputs = Outputs(**{flag: "x"})
        with pytest.raises(ConfigError, match=f"--{flag}: x cannot be written: No such file or directory"):
            outputs.check()
        with (
            pytest.raises(ConfigError, match=f"--{flag}: x cannot be written: No such file or directory"),
            outputs.opened(),
        ):
            pass
    save(tmp_path / "report")
    assert texts(tmp_path) == {"report": "new"}


def test_one_output_that_cannot_be_opened_takes_back_all(tmp_path: Path) -> None:
    """What was made for the others is removed again."""
    outputs = Outputs(json=str(tmp_path / "j"), results=str(tmp_path / "r"), html=str(tmp_path / "no" / "h"))
    with pytest.raises(ConfigError, match="--html"), outputs.opened():
        pass
    assert os.listdir(tmp_path) == []


def test_results_that_are_being_written_are_nobody_elses(tmp_path: Path) -> None:
    """By whatever path. What is there stays; afterwards the file is free."""
    path = tmp_path / "results"
    with Outputs(results=str(path)).opened() as files:
        assert files.results is not None
        files.results.begin({})
        (tmp_path / "link").symlink_to(path)
        (tmp_path / "hard").hardlink_to(path)
        for name in ("results", "link", "hard"):
            place = str(tmp_path / name)
            with pytest.raises(ConfigError) as refused, Outputs(results=place).opened():
                pass
            assert str(refused.value) == f"--results: {place} is being written by another run (give another file)"
    assert sorted(texts(tmp_path)) == ["hard", "link", "results"]
    with Outputs(results=str(path)).opened():
        pass
    save(path)


def test_a_file_system_without_locks_goes_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a network's file system cannot say who writes is no reason not to write."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = str(tmp_path / "results")
    with Outputs(results=path).opened(), Outputs(results=path).opened():
        pass
    save(tmp_path / "report.json")


def test_nobody_writes_to_a_file_that_the_run_before_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that never began takes its file away: who opened it just then is told, before anything is sent."""
    path = tmp_path / "results"
    keep = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", keep)
        path.unlink()
        keep(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with Outputs(results=str(path)).opened() as files:
        assert files.results is not None
        with pytest.raises(ConfigError, match="was deleted meanwhile"):
            files.results.begin({})


@pytest.mark.parametrize("path", ["/dev/null", "pipe"])
def test_what_several_may_write_to_is_shared(tmp_path: Path, path: str) -> None:
    """The null device and a pipe take what any number of runs write."""
    ends = []
    if path == "pipe":
        path = str(tmp_path / path)
        os.mkfifo(path)
        ends.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    with Outputs(results=path).opened(), Outputs(results=path).opened(), Outputs(json=path).opened():
        pass
    for end in ends:
        os.close(end)
