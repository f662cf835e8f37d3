"""Target lists as people have them: separators, encodings, headers, JSON arrays, and what surrounds a table."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.cleanup import list_text
from sdrs_async.cleanup.list_forms import rows
from sdrs_async.cleanup.list_text import Text
from sdrs_async.cleanup.spool import Spool
from sdrs_async.cleanup.target_files import Owners, spool
from sdrs_async.errors import ConfigError
from sdrs_async.models import ProjectLevel
from sdrs_async.simulator import Simulator
from tests.support.command import run

P1, P2 = "3f518ae3b61867b1a493b83eb15572eb", "2" * 32
G1, G2, G3 = (f"decf224d-87fe-403a-8721-037a1a45c28{n}" for n in (7, 2, 3))
ONE = Owners(("OS_TOKEN",))
OBJECT = '{"project_id": "%s", "server_group_id": "%s"}'


def _spool(folder: Path, content: str | bytes, owners: Owners = ONE, name: str = "list") -> Spool:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return spool(str(path), owners)


def _read(folder: Path, content: str | bytes) -> list[tuple[str, str | ProjectLevel]]:
    """The targets of the list, by project."""
    with _spool(folder, content) as spooled:
        assert spooled.duplicates == 0
        return [(project, target) for project, targets in spooled.per_project("OS_TOKEN").items() for target in targets]


def _refused(folder: Path, content: str | bytes) -> str:
    """What is said of the list, after its name."""
    with pytest.raises(ConfigError) as caught:
        _spool(folder, content).close()
    text = str(caught.value)
    assert text.startswith(f"{folder / 'list'}, ")
    assert text.isprintable()
    assert len(text) < len(str(folder)) + 500
    return text.removeprefix(f"{folder / 'list'}, ")


# ---- separators


@pytest.mark.parametrize(
    "content",
    [
        f"project_id;server_group_id;name\r\n{P1};{G1};web\r\n",
        f"project_id\tserver_group_id\n{P1}\t{G1}\n",
        f"sep=;\r\nproject_id;server_group_id\r\n{P1};{G1}\r\n",
        f"\ufeffsep=,\r\nproject_id,server_group_id\r\n{P1},{G1}\r\n",
        f'"sep=\t"\nproject_id\tserver_group_id\n{P1}\t{G1}\n',
        f"SEP=;;\n\n# of today\nproject_id;server_group_id\n{P1};{G1}\n",
        f"note,more;project_id;server_group_id\n1,2;{P1};{G1}\n",
        f'"a;b\n,c",server_group_id,project_id\n"x\n;",{G1},{P1}\n',
        f';;\r\n"";"";""\r\n,\r\nproject_id;server_group_id;\r\n{P1};{G1};\r\n',
        f"sep=\t\n\t\t\nproject_id\tserver_group_id\n{P1}\t{G1}\n",
        f'#TYPE Selected\n"project_id";"server_group_id"\n"{P1}";"{G1}"\n',
        f'"project_id", "server_group_id"\n"{P1}", "{G1}"\n',
    ],
)
def test_the_separator_is_told_by_the_header(tmp_path: Path, content: str) -> None:
    """Comma, semicolon or TAB, whichever makes a header of the first row; Excel's own first line rules."""
    assert _read(tmp_path, content) == [(P1, G1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("project_id|server_group_id\n", "line 1: the CSV header has to name project_id and server_group_id once each"),
        ("project;group\n", "line 1: the CSV header has to name project_id and server_group_id once each, it is"),
        (f"{P1};{G1}\n", "line 1: the CSV header has to name"),
        (f"sep=,\nproject_id;server_group_id\n{P1};{G1}\n", "line 2: the CSV header has to name"),
        ("sep=|\nproject_id|server_group_id\n", "line 1: sep=| names no separator that is read"),
        ("sep=\nproject_id,server_group_id\n", "line 1: sep= names no separator that is read"),
        (f"project_id;server_group_id\n{P1},{G1}\n", "line 2: the number of columns is 1, in the header it is 2"),
    ],
)
def test_another_separator_is_spoken_of(tmp_path: Path, content: str, message: str) -> None:
    """Who has another one learns which ones there are."""
    text = _refused(tmp_path, content)
    assert text.startswith(message)
    assert "separated by " in text


def test_what_is_no_list_is_told_all_forms(tmp_path: Path) -> None:
    """The first line is shown, and what a list may be."""
    text = _refused(tmp_path, f"# one\n\n{P1}\n")
    assert text.startswith(f"line 3: '{P1}' is none of the forms of a target list: CSV")
    for form in ("semicolon", "TAB", "JSON Lines", "JSON array", "results file", "project/group"):
        assert form in text


# ---- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "content", ["project_id;server_group_id;name\r\n%s;%s;M\u00fcller \U0001f9f9\r\n", OBJECT, f"[{OBJECT}]", "%s/%s\n"]
)
def test_the_encoding_is_told_by_its_mark(tmp_path: Path, encoding: str, content: str) -> None:
    """UTF-8 with and without one, and UTF-16 with one, as PowerShell writes it."""
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    assert _read(tmp_path, f"{mark}{content % (P1, G1)}".encode(encoding)) == [(P1, G1)]


CSV = f"project_id,server_group_id,name\n{P1},{G1},M\u00fcller\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV.encode("latin-1"), "line 2: is not UTF-8 text (byte 0xfc): save it as UTF-8 (in Excel: CSV UTF-8)"),
        (CSV.replace("\n", "\r").encode("latin-1"), "line 2: is not UTF-8 text (byte 0xfc)"),
        (CSV.encode("utf-16-le"), "line 1: seems to be UTF-16 or UTF-32 text without a byte order mark: save it"),
        (CSV.encode("utf-16-be"), "line 1: seems to be UTF-16 or UTF-32 text without a byte order mark"),
        (CSV.encode("utf-32"), "line 1: is UTF-32 text: save it as UTF-8"),
        (f"\ufeff{CSV}".encode("utf-32-be"), "line 1: is UTF-32 text"),
        (CSV.encode("utf-16")[:-1], "line 2: is not UTF-16 text (byte 0x0a)"),
        (f"{CSV}\n\u4e00\0".encode(), "line 4: holds a NUL character"),
        (b"PK\x03\x04 a workbook", "line 1: is a workbook (.xlsx) or another ZIP archive, and no text: save its table"),
        (b"\xd0\xcf\x11\xe0\xa1", "line 1: is a workbook (.xls), and no text"),
        (b"\x1f\x8b\x08", "line 1: is compressed with gzip"),
    ],
)
def test_what_is_no_such_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """With the line, and with how to make it one: no letter is guessed."""
    assert _refused(tmp_path, content).startswith(message)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("content", [CSV, f"{P1}/{G1}\n\n", f"{OBJECT % (P1, G1)}\n", f"[\n{OBJECT % (P1, G1)}\n]\n"])
def test_line_ends_of_all_systems_are_read(tmp_path: Path, end: str, content: str) -> None:
    """And errors count their lines alike."""
    assert _read(tmp_path, content.replace("\n", end)) == [(P1, G1)]
    assert _refused(tmp_path, content.replace(G1, "..").replace("\n", end)).startswith(
        "line 1: " if content.startswith((P1, "{")) else "line 2"
    )


# ---- headers and rows


@pytest.mark.parametrize(
    "header",
    [
        "Project ID,Server Group ID",
        "PROJECT_ID,SERVER_GROUP_ID",
        "projectId,serverGroupId",
        "project-id, server-group-id ",
        "Project_Id,Server group-ID",
    ],
)
def test_a_header_may_be_spelled_as_people_do(tmp_path: Path, header: str) -> None:
    """Case, blanks, dashes and underscores do not count, in a CSV and in the keys of JSON."""
    assert _read(tmp_path, f"{header}\n{P1},{G1}\n") == [(P1, G1)]
    project, group = header.split(",")
    for form in ("%s", "[%s]"):
        assert _read(tmp_path, form % json.dumps({project: P1, group.strip(): G1})) == [(P1, G1)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Project ID", "project_id", "server_group_id"], "has to name project_id and server_group_id once each"),
        (["project_id", "serverGroupId", "Server Group ID"], "has to name project_id and server_group_id once each"),
        (["project_id", "server_group_id", "Account", "account"], "has to name account once at most"),
        (["project_id", "server_group_id", "Acc\u00a0ount"], "which looks like account: take out what is not seen"),
        (["project_id", "Server\u00a0Group\u00a0ID"], "which looks like server_group_id: take out what is not seen"),
        (["project_id", "server_group_id", "endpoint", "Endpoint"], "has to name endpoint once at most"),
    ],
)
def test_a_header_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    """Also in the keys of a JSON object, where an account that is overlooked would let lines of all accounts pass."""
    if "Endpoint" not in names:
        assert message in _refused(tmp_path, f"{','.join(names)}\n")
    entry = dict.fromkeys(names, "OS_TOKEN") | {"project_id": P1, "server_group_id": G1}
    assert message in _refused(tmp_path, json.dumps(entry))
    assert message in _refused(tmp_path, json.dumps([entry]))


def test_a_key_that_a_json_object_has_twice_is_refused(tmp_path: Path) -> None:
    """Which one is meant cannot be told."""
    entry = f'{{"project_id": "{P1}", "server_group_id": "{G1}", "server_group_id": "{G2}"}}'
    for content in (entry, f"[{entry}]"):
        assert "the JSON object has a key more than once" in _refused(tmp_path, content)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_empty_rows_are_no_targets(tmp_path: Path, separator: str) -> None:
    """As tables have them between their rows and below their end: of separators, of blanks, of quotes, of nothing."""
    empty = [separator * 2, "", '"" "" ""'.replace(" ", separator), f" {separator} {separator} ", separator * 5, "  "]
    header = separator.join(["project_id", "server_group_id", "name"])
    rows = [header, *empty, separator.join([P1, G1, "x"]), *empty, separator.join([P1, G2, ""]), *empty, *empty]
    assert _read(tmp_path, "\r\n".join(rows)) == [(P1, G2), (P1, G1)]
    # Cells at the end may be missing, or be too many, where they say nothing.
    short = [header, separator.join([P1, G1]), separator.join([P1, G2, "", "", ""])]
    assert _read(tmp_path, "\n".join(short)) == [(P1, G2), (P1, G1)]


@pytest.mark.parametrize("row", [f"{P1},{G1},a,b", f",{G1},a", f"{P1},,a", ",,a", P1, f"a,{P1},{G1}"])
def test_a_row_that_says_something_else_is_no_empty_one(tmp_path: Path, row: str) -> None:
    """Half a target, one column too many, a sum below the table: an error, with the line."""
    assert _refused(tmp_path, f"project_id,server_group_id,name\n,,\n{row}\n").startswith("line 3: ")
    assert _refused(tmp_path, f"project_id,server_group_id,account\n{P1},{G1}\n").startswith("line 2: the number of")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f"name,project_id,server_group_id\nweb,{P1},{G1}\n#1 db,{P1},{G2}\n", 3),
        (f"name;server_group_id;x;project_id\r\n\r\n  #;{G1};;{P1}\r\n", 3),
        (f"name,project_id,server_group_id\n#1,{P1},{G1[:9]} {G1[9:]}\n", 2),
        (f"name,project_id,server_group_id\n#1,{P1},\n", 2),
        (f"#\tproject_id\tserver_group_id\n1\t{P1}\t{G1}\n", 1),
        (f"#,project_id,server_group_id\n#1,{P1},{G1}\n", 1),
        (f"sep=;\n;;\n# No;Project ID;Server Group ID\n1;{P1};{G1}\n", 3),
        (f'name,note,project_id,server_group_id\n#1,"two\n#lines",{P1},{G1}\n', 2),
    ],
)
def test_a_row_that_begins_as_a_comment_is_refused(tmp_path: Path, content: str, line: int) -> None:
    """Tables number their rows, and names begin so: it is neither left out nor, where it was taken out, deleted."""
    assert _refused(tmp_path, content).startswith(
        f"line {line}: begins with #, as a comment does, and reads like a row"
    )


def test_what_is_no_row_is_a_comment(tmp_path: Path) -> None:
    """Also a row that was taken out where an id comes first; a cell in quotes is never one."""
    table = f'#, of today\nname,project_id,server_group_id\n"#1",{P1},{G1}\n'
    for comment in ("#", "#,,", "# web, then test, then all", f"# {P1}/{G2}", f"#{P1}"):
        assert _read(tmp_path, f"{table}{comment}\n,{P2},{G2}\n") == [(P2, G2), (P1, G1)], comment
    for comment in (f"#{P1},{G1},x", f'#{P1},{G1},"x', f"# of,{P1},{G1}"):
        assert _read(tmp_path, f"project_id,server_group_id,n\n{comment}\n{P2},{G2},\n") == [(P2, G2)]


@pytest.mark.parametrize(
    "content",
    [
        f'name\tproject_id\tserver_group_id\nweb\t{P1}\t{G1}\n"\t{P1}\t{G2}\n"\t{P1}\t{G3}\n',
        f'project_id,server_group_id,name\n\n{P1},{G1},"web\n{P1},{G2},db"\n',
        f'\n\nproject_id,server_group_id,"name\n{P1},{G1},web\n{P1},{G2},"\n{P1},{G3},db\n',
        f'server_group_id,name,project_id\n\n{G1},"a,{P1}\n{G2},b",{P2}\n',
    ],
)
def test_a_quote_too_many_hides_no_row(tmp_path: Path, content: str) -> None:
    """A ditto mark or an inch opens a cell that goes on to the next one, over all rows between."""
    assert _refused(tmp_path, content).startswith("line 3: is not proper CSV: a quoted cell holds the")


def test_a_note_of_several_lines_hides_none(tmp_path: Path) -> None:
    """And an id in quotes may have a line end behind it, as spreadsheets let people type one."""
    note = f"see {P2},\nthen the other one"
    assert _read(tmp_path, f'note,project_id,server_group_id\n"{note}","{P1}","{G1}\n"\n') == [(P1, G1)]


def test_a_header_that_comes_again_is_no_target(tmp_path: Path) -> None:
    """Two tables, one below the other: with `--any-ids`, the second header would be one."""
    content = f"project_id,server_group_id\n{P1},{G1}\n"
    assert _refused(tmp_path, content * 2).startswith("line 3: is the header once more")


# ---- JSON arrays


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([{"project_id": P1, "server_group_id": G1}, {"server_group_id": G2, "project_id": P2, "n": [{}]}]),
        json.dumps([{"project_id": P1, "server_group_id": G1}, {"project_id": P2, "server_group_id": G2}], indent=4),
        f"\n# all\n  [[{json.dumps(P1)},\n{json.dumps(G1)}] , \n\n [{json.dumps(P2)}, {json.dumps(G2)}]\n]\n\n",
        json.dumps([f"{P1}/{G1}", f"{P2}/{G2}"]),
        json.dumps([[P1, G1], f"{P2}/{G2}"]),
        # One object after another, as `jq .[]` prints them.
        "\n".join(json.dumps({"project_id": p, "server_group_id": g}, indent=2) for p, g in ((P1, G1), (P2, G2))),
    ],
)
def test_a_json_array_is_a_list(tmp_path: Path, content: str) -> None:
    """Of objects, of pairs as the library takes them, of texts, on one line or on many."""
    assert _read(tmp_path, content) == [(P2, G2), (P1, G1)]


def test_an_array_may_be_the_results_of_a_run(tmp_path: Path) -> None:
    """Accounts, endpoints and project levels are what they are in JSON Lines."""
    there = "https://sdrs.eu-de.example.com"
    rows = [
        {"account": "prod", "endpoint": there, "level": "project", "project_id": P1, "server_group_id": None},
        {"account": "test", "level": "group", "project_id": P1, "server_group_id": G1},
    ]
    with _spool(tmp_path, json.dumps(rows), Owners(("prod", "test"), fleet=True)) as spooled:
        assert [tuple(one) for one in spooled.extents()] == [("prod", P1, 0, True), ("test", P1, 1, False)]
        assert spooled.endpoints() == {"prod": there}
        with pytest.raises(ConfigError, match=r"line 1, item 1: is a.* prod at https://sdrs\.eu-de"):
            spooled.unite({"prod": "https://elsewhere"})


def test_an_empty_array_is_an_empty_selection(tmp_path: Path) -> None:
    """It is proper, and says that there is nothing to do."""
    assert _read(tmp_path, " [ \n ] ") == []


GOOD = OBJECT % (P1, G1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[\n", "line 2, item 1: the file ends before the array does: it seems to be cut off"),
        (f"[\n{GOOD},\n{GOOD}\n", "line 3, item 2: the file ends before the array does"),
        (f"[{GOOD},", "line 1, item 2: the file ends before the array does"),
        (f"[{GOOD}, {GOOD[:20]}", "line 1: the file ends within a JSON value: it seems to be cut off"),
        (f"[\n{GOOD}\n{GOOD}]", "line 3: is not proper JSON: after item 1 stands '{', neither a comma nor the end"),
        (f"[{GOOD},]", "line 1: is not proper JSON: "),
        (f"[,{GOOD}]", "line 1: is not proper JSON: Expecting value (column 2)"),
        (f"[{GOOD}]\n[{GOOD}]", "line 2: there is more behind the end of the array"),
        (f"[\n  {GOOD},\n  {{'project_id': 1}}]", "line 3: is not proper JSON: Expecting property name"),
        (f'[{GOOD}, {{"project_id": "{P1}", "server_group_id": "{G1}x"}}]', "line 1, item 2: server_group_id"),
        (f"[{GOOD},\n\n7]", "line 3, item 2: has to be a JSON object with project_id and server_group_id, a pair"),
        (f'[["{P1}"]]', "line 1, item 1: has to be a JSON object"),
        (f'[["{P1}", null]]', "line 1, item 1: server_group_id has to be a text, not null"),
        (f'["{P1}"]', f"line 1, item 1: '{P1}' is not project/group"),
        (f"[{GOOD}, [{GOOD}]]", "line 1, item 2: has to be a JSON object"),
        ("[" + "[" * 100_000, "line 1: is not proper JSON: "),
        (f"[{GOOD},\n" + '{"a": "' + "x" * 200_000 + '"}]', "line 2: longer than 128 KiB"),
        (f"[{GOOD},\n" + '{"a": "' + "x" * 900_000 + '"}]', "line 2: longer than 128 KiB"),
        (f"[{GOOD},\n{{{' ' * 900_000}}}]", "line 2: longer than 128 KiB"),
        (f"{GOOD}\n{GOOD[:60]}", "line 2: the file ends within a JSON value: it seems to be cut off"),
        (f"{GOOD}\n{GOOD[:1]}\n", "line 2: the file ends within a JSON value"),
        (f"{GOOD}\n{GOOD[:-1]}", "line 2: the file ends within a JSON value"),
        (f"{GOOD}\n{GOOD[:13]}", "line 2: the file ends within a JSON value"),
        (f"[{GOOD}]".encode("utf-16")[:-2], "line 1, item 1: the file ends before the array does"),
    ],
)
def test_bad_json_is_refused_with_its_place(tmp_path: Path, content: str | bytes, message: str) -> None:
    """The line, and in an array the item too, which may stand on one line whole; what is cut off is no list."""
    assert _refused(tmp_path, content).startswith(message)


@pytest.mark.parametrize("separator", [", ", ",\n"])
def test_a_long_array_is_never_held_whole(separator: str) -> None:
    """Its items come while the file is read, and only a few hundred kilobytes of it are held, even on one line."""
    groups = [f"{number:08x}-87fe-403a-8721-037a1a45c287" for number in range(8_000)]
    file = io.BytesIO(f"[{separator.join(OBJECT % (P1, group) for group in groups)}]".encode())
    text = Text("list", file)
    for number, (row, group) in enumerate(zip(rows(text), groups, strict=True)):
        assert (row.project_id, row.server_group_id) == (P1, group)
        assert file.tell() < 600_000 + number * len(OBJECT % (P1, group) + separator)
        assert len(text.ahead) < 600_000


def test_stdin_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever form it has; errors call it so."""
    content = f"\ufeffsep=;\r\nproject_id;server_group_id\r\n{P1};{G1}\r\n".encode("utf-16-le")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with spool("-", ONE) as spooled:
        assert spooled.groups == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[7]")))
    with pytest.raises(ConfigError, match=r"^stdin, line 1, item 1: has to be"):
        spool("-", ONE)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
@pytest.mark.parametrize("typed", [f"{P1}/{G1}\n", "#\n", ""])
def test_what_is_typed_ends_with_one_ctrl_d(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    """A further look at a terminal would wait for another."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, f"{typed}\x04".encode())
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with spool("-", ONE) as spooled:
            assert spooled.groups == typed.count("/")
    os.close(keyboard)


# ---- any list in any form

IDS = st.lists(st.tuples(st.uuids().map(lambda one: one.hex), st.uuids().map(str)), unique=True, max_size=8)
SPELLINGS = st.sampled_from(
    [("project_id", "server_group_id"), ("Project ID", "SERVER GROUP ID"), ("projectId", "server-group-id")]
)
OTHER = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
"""A cell of another column, with separators, quotes, line ends and signs that mean something at the start of a line."""


@st.composite
def _tables(draw: st.DrawFn) -> Callable[[list[tuple[str, str]]], str]:
    names, other = draw(SPELLINGS), draw(OTHER.filter(lambda text: text.strip()))
    delimiter, all_quoted = draw(st.sampled_from(",;\t")), draw(st.booleans())
    quoting: Literal[0, 1] = csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL
    sep, tail = draw(st.booleans()), draw(st.sampled_from(["", delimiter * 2, '"",""', "\n\n"]))
    order = draw(st.permutations(range(3)))

    def write(targets: list[tuple[str, str]]) -> str:
        file = io.StringIO()
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
        for row in [(*names, f"x{other}"), *((*target, f"x{other}") for target in targets)]:
            writer.writerow([row[number] for number in order])
        begin = f"sep={delimiter}\n" if sep else ""
        return f"{begin}{file.getvalue()}{tail.replace(',', delimiter)}\n"

    return write


@st.composite
def _documents(draw: st.DrawFn) -> Callable[[list[tuple[str, str]]], str]:
    project, group = draw(SPELLINGS)
    more, indent = {"": draw(OTHER)}, draw(st.sampled_from([None, 0, 2]))
    kind, ascii_only = draw(st.sampled_from(["lines", "objects", "pairs", "texts"])), draw(st.booleans())

    def write(targets: list[tuple[str, str]]) -> str:
        entries: list[object] = [{**more, group: one[1], project: one[0]} for one in targets]
        if kind == "lines":
            return "\n".join(json.dumps(entry, ensure_ascii=ascii_only, indent=indent) for entry in entries)
        if kind == "pairs":
            entries = list(map(list, targets))
        if kind == "texts":
            entries = ["/".join(target) for target in targets]
        return json.dumps(entries, ensure_ascii=ascii_only, indent=indent)

    return write


PLAIN = st.just(lambda targets: "# plain\n" + "\n".join(map("/".join, targets)))


@given(
    targets=IDS,
    form=st.one_of(_tables(), _documents(), PLAIN),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    pieces=st.tuples(st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([1, 7, 64, 256 * 1024])),
)
def test_any_list_in_any_form_is_read_back(
    targets: list[tuple[str, str]],
    form: Callable[[list[tuple[str, str]]], str],
    encoding: str,
    pieces: tuple[str, int],
) -> None:
    """Exactly the targets that were written, each once, with whatever line ends and in whatever pieces it is read."""
    end, block = pieces
    content = form(targets).replace("\r\n", "\n").replace("\r", "\n").replace("\n", end).encode(encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_text, "_BLOCK", block)
        found = [(row.project_id, row.server_group_id) for row in rows(Text("list", io.BytesIO(content)))]
    assert found == targets


# ---- in the command


async def test_the_command_cleans_what_a_spreadsheet_lists(tmp_path: Path) -> None:
    """In UTF-16 with semicolons, then as an array on stdin: exactly these groups are called."""
    async with Simulator(projects=2, groups=3) as cloud:
        rows = [";".join(("web", *reversed(target))) for target in cloud.targets[:4]]
        path = tmp_path / "list.csv"
        path.write_bytes("\r\n".join(["Name;Server Group ID;Project ID", *rows, ";;", ""]).encode("utf-16"))
        args = ["clean", "--yes", "--endpoint", cloud.url, "--targets"]
        done = await run(*args, str(path), token=cloud.token)
        assert done.code == 0, done.stderr
        assert sorted((e.project_id, e.server_group_id) for e in cloud.log) == sorted(cloud.targets[:4])
        done = await run(*args, "-", token=cloud.token, stdin=json.dumps(cloud.targets[4:], indent=1).encode())
        assert (done.code, cloud.remaining) == (0, 0), done.stderr
