"""Reading target files: what they say, what is refused and where, and the spool on disk."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pytest

from sdrs_async.cleanup.spool import Owned, Spool
from sdrs_async.cleanup.target_files import Owners
from sdrs_async.cleanup.target_files import spool as spool_of
from sdrs_async.errors import ConfigError
from sdrs_async.models import ProjectLevel, Target

P1, P2, P3 = "1" * 32, "2" * 32, "3" * 32
G1, G2, G3 = (f"decf224d-87fe-403a-8721-037a1a45c28{n}" for n in (1, 2, 3))
EXPECTED = {P1: [G1, G2], P2: [G3]}
ONE = Owners(("OS_TOKEN",))
FLEET = Owners(("prod", "the clone"), fleet=True)


def spool(source: str, owners: Owners = ONE, **how: bool) -> Spool:
    """Read a list of a run with one account."""
    return spool_of(source, owners, **how)


def _write(folder: Path, content: str | bytes) -> str:
    path = folder / "targets"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def _content(spooled: Spool, account: str = "OS_TOKEN") -> dict[str, list[str | ProjectLevel]]:
    return {project: list(groups) for project, groups in spooled.per_project(account).items()}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"project_id,server_group_id\n{P1},{G1}\n{P1},{G2}\n{P2},{G3}\n", id="csv"),
        pytest.param(f"project_id,server_group_id\r\n{P1},{G1}\r\n{P1},{G2}\r\n{P2},{G3}", id="csv, Windows lines"),
        pytest.param(f"\ufeffproject_id,server_group_id\n{P1},{G1}\n{P1},{G2}\n{P2},{G3}\n", id="csv, byte order mark"),
        pytest.param(
            f'name, server_group_id ,project_id\n"a, b",{G1},{P1}\n"two\nlines", {G2},{P1}\n\n,{G3},{P2}\n',
            id="csv, columns in another order, quoted cells",
        ),
        pytest.param(
            f'{{"project_id": "{P1}", "server_group_id": "{G1}", "name": null}}\n\n'
            f'{{"server_group_id": "{G2}", "project_id": "{P1}"}}\n{{"project_id": "{P2}", "server_group_id": "{G3}"}}',
            id="json lines",
        ),
        pytest.param(
            f'# all\n#,\n\nnote,project_id,server_group_id\n  \n# of,{P1}\n"a\n# b\n\n",{P1},{G1}\n#\n'
            f"c,{P1},{G2}\nd,{P2},{G3}\n# end, or not, of it",
            id="csv with comments",
        ),
        pytest.param(
            f'# all\n{{"project_id": "{P1}", "server_group_id": "{G1}"}}\n  # of them\n'
            f'{{"project_id": "{P1}", "server_group_id": "{G2}"}}\n'
            f'{{"project_id": "{P2}", "server_group_id": "{G3}"}}\n#',
            id="json lines with comments",
        ),
        pytest.param(f"\n# all of them\n{P1}/{G1}\n  {P1}/{G2}  \n\n#{P2}/{G1}\n{P2}/{G3}\n", id="plain"),
    ],
)
def test_all_forms_say_the_same(tmp_path: Path, content: str) -> None:
    """CSV, JSON Lines and plain lines give the same targets, by project; blank lines and comments do not count."""
    with spool(_write(tmp_path, content)) as spooled:
        assert _content(spooled) == EXPECTED
        assert (spooled.groups, spooled.projects, spooled.duplicates) == (3, 2, 0)


OBJECT = f'{{"project_id": "{P1}", "server_group_id": "{G1}"}}'
BAD = [
    (f"project,group\n{P1},{G1}\n", 1, "header has to name project_id and server_group_id"),
    (f"{P1},{G1}\n", 1, "header has to name project_id and server_group_id"),
    ("project_id:server_group_id\n", 1, "header has to name project_id and server_group_id"),
    ("project_id,server_group_id,project_id\n", 1, "once each"),
    (f"project_id,server_group_id\n{P1},{G1}\n{P1},batch\n", 3, "server_group_id 'batch' is refused"),
    (f"project_id,server_group_id\n{P1},{G1}\n,{G1}\n", 3, "project_id '' is refused"),
    (f'n,project_id,server_group_id\n"a\nb",{P1},{G1}\nx,{P1},..\n', 4, "server_group_id '..' is refused"),
    (f"# all\nproject_id,server_group_id\n\n#\n{P1},{G1},{G2}\n", 5, "the number of columns is 3"),
    (f"project_id,server_group_id\n{P1}\n", 2, "the number of columns is 1, in the header it is 2"),
    (f"project_id,server_group_id\n\n{P1},{G1},{G2}\n", 3, "the number of columns is 3"),
    (f'project_id,server_group_id\n{P1},{G1}\n"{P1},{G1}\n', 3, "is not proper CSV: unexpected end of data"),
    ("project_id,server_group_id\n" + '"' + "x\n" * 70_000, 2, "is not proper CSV: field larger than field limit"),
    (f"{P1}/{G1}\n{P1}\n", 2, "is not project/group"),
    (f"{P1}/{G1}/{G2}\n", 1, "is refused"),
    (f"# one\n\n{P1}\n", 3, "is none of the forms of a target list"),
    ('{"project_id": "' + P1 + '"}\n', 1, "JSON object has to name project_id and server_group_id once each"),
    (f"{OBJECT}\n[]\n", 2, "has to be a JSON object with project_id and server_group_id, not []"),
    (f'{OBJECT}\n{{"project_id" 7}}\n', 2, "is not proper JSON: Expecting ':' delimiter (column 15)"),
    (f"{OBJECT}\n{OBJECT} x\n", 2, "there is more behind the object"),
    ('{"project_id": null, "server_group_id": "b"}\n', 1, "project_id has to be a text, not null"),
    ('{"project_id": ["a"], "server_group_id": "b"}\n', 1, 'project_id has to be a text, not ["a"]'),
    (f"{P1}/a b\n", 1, "server_group_id 'a b' is refused: an id holds no space"),
    (f"{P1}/a\x1bb\n", 1, "is refused: it holds a control or other invisible character"),
    (f"{P1}/{'a' * 300}\n", 1, "is refused: it is longer than 256 characters (300)"),
    (f"{P1}/\n", 1, "server_group_id '' is refused: it is empty"),
    (f"{P1}/Batch\n", 1, "server_group_id 'Batch' is refused: this is a reserved word"),
    (f"{P1}/.\n", 1, "server_group_id '.' is refused: a dot alone leads to another path"),
    (f"{P1}/a..b\n", 1, "is refused: an id holds no .."),
    ('{"project_id": 7, "server_group_id": "b"}\n', 1, "project_id has to be a text, not 7"),
    ('{"project_id": "a", "server_group_id": "\\ud800"}\n', 1, "server_group_id has to be a text"),
    ('{"a":' + "[" * 100_000 + "\n", 1, "is not proper JSON: "),
    (f"{P1}/{G1}\n{P1}/".encode() + b"\xff\n", 2, "is not UTF-8 text (byte 0xff): save it as UTF-8"),
    (f"{P1}/{G1}\n{P1}/{G2}\0\n", 2, "NUL character"),
    (f"{P1}/{G1}\n" + "x" * 200_000, 2, "longer than 128 KiB"),
    ("x," * 100_000, 1, "longer than 128 KiB"),
]


@pytest.mark.parametrize(
    ("content", "line", "message"), BAD, ids=[f"{message} {n}" for n, (_, _, message) in enumerate(BAD)]
)
def test_bad_input_is_one_error_with_its_place(tmp_path: Path, content: str | bytes, line: int, message: str) -> None:
    """Whatever is wrong with a file, the error names file and line, is one line, and holds no control character."""
    source = _write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        spool(source)
    text = str(caught.value)
    assert text.startswith(f"{source}, line {line}: ")
    assert message in text
    assert text.isprintable()
    assert len(text) < len(source) + 400


# Blanks and line ends of any list, and what `str.strip` takes for such.
BLANKS = ["", " ", "\t", " \t ", "\r"]
UNSEEN = ["\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\u2028", "\u3164"]
PLACES = [
    ("# all\n{0}%s/%s", 2),
    ("%s/%s{0}", 1),
    ("# all\n%s{0}/%s", 2),
    ("project_id,server_group_id\n{0}%s,%s", 2),
    ("project_id,server_group_id\n%s,{0}%s", 2),
    ("project_id,server_group_id\n%s,%s {0} ", 2),
    ('project_id,server_group_id\n%s,"{0}%s"', 2),
    ("project_id,server_group_id,account\n%s,%s,OS_TOKEN{0}", 2),
    ("project_id,server_group_id,account\n%s,%s,{0}", 2),
    ("%s/%s\n{0}", 2),
    ("%s/%s\n{0}# not a comment", 2),
    ('{{"project_id": "%s", "server_group_id": "%s{0}"}}', 1),
    ('{{"project_id": "{0}%s", "server_group_id": "%s"}}', 1),
    ('{{"account": "OS_TOKEN{0}", "project_id": "%s", "server_group_id": "%s"}}', 1),
    ('{{"project_id": "%s", "server_group_id": "%s"}}{0}', 1),
]


@pytest.mark.parametrize(("form", "line"), PLACES)
def test_what_is_not_seen_around_an_id_is_refused(tmp_path: Path, form: str, line: int) -> None:
    """Without it, the id would be another one than the list has: it is never dropped, in no form of a list."""
    for unseen in UNSEEN:
        # JSON has control characters as escapes only.
        spelled = json.dumps(unseen)[1:-1] if form.endswith('"}}') else unseen
        source = _write(tmp_path, form.format(spelled) % (P1, G1))
        with pytest.raises(ConfigError) as caught:
            spool(source)
        assert str(caught.value).startswith(f"{source}, line {line}: "), ascii(unseen)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
@pytest.mark.parametrize(
    "form",
    [
        "{0}%s/%s{0}\n{0}",
        "{0}# all{0}\n{0}project_id{0},{0}server_group_id,account{0}\n%s{0},{0}%s{0},{0}\n",
        '{0}{{"project_id": "%s",{0}"server_group_id": "%s"}}{0}\n',
    ],
)
def test_blanks_around_an_id_do_not_count(tmp_path: Path, form: str, blank: str) -> None:
    """Spaces and tabs between what a list holds are no part of it."""
    if form.startswith("{0}#") and blank == "\r":
        form = form.replace("{0},{0}", ",").replace("{0}project", "project")  # within a row it would end it
    with spool(_write(tmp_path, form.format(blank) % (P1, G1))) as spooled:
        assert _content(spooled) == {P1: [G1]}


@pytest.mark.parametrize("column", ["project_id", "server_group_id", "account"])
def test_a_column_that_only_looks_like_one_of_a_list_is_refused(tmp_path: Path, column: str) -> None:
    """An account that is taken for some column of no meaning would let the lines of all accounts pass."""
    header = "name,project_id,server_group_id,account"
    spellings = [(f"{column}{one}", f" {one} {column}", f"{column[:3]}{one}{column[3:]}") for one in UNSEEN]
    for wrong in chain.from_iterable(spellings):
        source = _write(tmp_path, f"{header.replace(column, wrong)}\nn,{P1},{G1},prod\n")
        with pytest.raises(
            ConfigError, match=rf"line 1: the CSV header has '.*', which looks like {column}:"
        ) as caught:
            spool(source)
        assert str(caught.value).isprintable()


def test_other_columns_may_be_called_anything(tmp_path: Path) -> None:
    """What a list holds beside its targets is nobody's business."""
    header = 'a\u00a0b,project_id,"account\u200b name",server_group_id,"my account",\u200b'
    with spool(_write(tmp_path, f"{header}\n1\u00a0,{P1},prod,{G1},x,\u2003")) as spooled:
        assert _content(spooled) == {P1: [G1]}


def test_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    """An error in the last of many lines is found: nothing is handed out before."""
    lines = [f"{P1}/{number}" for number in range(5000)]
    with pytest.raises(ConfigError, match="line 5001"):
        spool(_write(tmp_path, "\n".join([*lines, f"{P1}/failure-jobs"])), any_ids=True)


@pytest.mark.parametrize("content", ["", "\n \n", "# nothing\n", "project_id,server_group_id\n", "\ufeff"])
def test_an_empty_file_is_an_empty_selection(tmp_path: Path, content: str) -> None:
    """A file without targets is no error."""
    with spool(_write(tmp_path, content)) as spooled:
        assert (spooled.groups, spooled.projects, spooled.duplicates) == (0, 0, 0)
        assert _content(spooled) == {}


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """A path that cannot be read is an error with its name and the reason."""
    with pytest.raises(ConfigError, match=r"missing\.csv: the targets cannot be read: No such file"):
        spool(str(tmp_path / "missing.csv"))
    with pytest.raises(ConfigError, match="the targets cannot be read: Is a directory"):
        spool(str(tmp_path))
    with pytest.raises(ConfigError, match="--targets: the path is empty"):
        spool("")


def test_a_stdin_that_is_closed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`<&-` is not an empty selection."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="stdin: the targets cannot be read: it is closed"):
        spool("-")


def test_stdin_is_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads stdin the same way, and errors call it so."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{P1}/{G1}\n{P1}/{G2}\n{P2}/{G3}\n".encode())))
    with spool("-") as spooled:
        assert _content(spooled) == EXPECTED
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{P1}/{G1}\n{P1}/%\n".encode())))
    with pytest.raises(ConfigError, match=r"^stdin, line 2: "):
        spool("-")


def test_exact_repeats_are_counted_and_dropped(tmp_path: Path) -> None:
    """A target that stands in the file three times, however far apart, is one target and two duplicates."""
    lines = [f"{P1}/{number:05}" for number in range(3000)]
    with spool(_write(tmp_path, "\n".join([lines[0], *lines, lines[0]])), any_ids=True) as spooled:
        assert (spooled.groups, spooled.duplicates) == (3000, 2)
        assert _content(spooled) == {P1: [f"{number:05}" for number in range(3000)]}


def test_projects_are_read_side_by_side(tmp_path: Path) -> None:
    """However the file is ordered, each project has a source of its own that does not wait for another's."""
    order = [f"{project}/{number:03}" for project in (P2, P1) for number in range(250)]
    with spool(_write(tmp_path, "\n".join(order)), any_ids=True) as spooled:
        assert [(one.project_id, one.groups) for one in spooled.extents()] == [(P1, 250), (P2, 250)]
        sources = spooled.per_project("OS_TOKEN")
        first, second = sources[P1], sources[P2]
        mixed = [next(source) for _ in range(250) for source in (first, second)]
        assert mixed == [f"{number:03}" for number in range(250) for _ in range(2)]
        assert (next(first, None), next(second, None)) == (None, None)
        assert next(sources[P1]) == "000"


def test_a_project_level_comes_before_the_groups_of_its_project(tmp_path: Path) -> None:
    """With the project level, each project of a list has one more target, which counts apart."""
    with spool(_write(tmp_path, f"{P1}/{G1}\n{P2}/{G3}\n{P1}/{G2}"), project_level=True) as spooled:
        assert (spooled.groups, spooled.levels, spooled.projects) == (3, 2, 2)
        assert spooled.first_projects() == {"OS_TOKEN": [P1]}
        assert _content(spooled) == {P1: [ProjectLevel(P1), G1, G2], P2: [ProjectLevel(P2), G3]}


LEVEL = f'{{"project_id": "{P1}", "server_group_id": %s, "level": "%s"}}\n'


def test_a_results_line_of_a_project_level_is_that_level(tmp_path: Path) -> None:
    """Without a group it stands for the project's own level, once, beside lines of groups."""
    lines = [LEVEL % ("null", "project"), LEVEL % (f'"{G1}"', "group"), LEVEL % ("null", "project")]
    with spool(_write(tmp_path, "".join(lines))) as spooled:
        assert (spooled.groups, spooled.levels, spooled.projects, spooled.duplicates) == (1, 1, 1, 1)
        assert _content(spooled) == {P1: [ProjectLevel(P1), G1]}
    with spool(_write(tmp_path, lines[0] + f'{{"project_id": "{P2}", "server_group_id": "{G3}"}}')) as spooled:
        assert _content(spooled) == {P1: [ProjectLevel(P1)], P2: [G3]}


@pytest.mark.parametrize(
    ("group", "level", "message"),
    [
        ("null", "group", "server_group_id has to be a text, not null"),
        ("null", "Project", "server_group_id has to be a text, not null"),
        ('""', "project", "level is project, but a server_group_id is named too"),
        (f'"{G1}"', "project", "level is project, but a server_group_id is named too"),
    ],
)
def test_a_level_that_contradicts_its_line_is_refused(tmp_path: Path, group: str, level: str, message: str) -> None:
    """A call for the whole project is made of nothing but a line that says so and names no group."""
    source = _write(tmp_path, LEVEL % ("null", "project") + LEVEL % (group, level))
    with pytest.raises(ConfigError, match=f"line 2: {message}"):
        spool(source)
    with pytest.raises(ConfigError, match="project_id 'batch' is refused"):
        spool(_write(tmp_path, (LEVEL % ("null", "project")).replace(P1, "batch")))


# ---- several accounts


def _owned(account: str, *targets: Target | ProjectLevel) -> list[Owned]:
    return [(account, target) for target in targets]


def _several(*bring: list[Owned]) -> Spool:
    spooled = Spool(["a", "b", "c"])
    for targets in bring:
        spooled.add(targets)
    spooled.seal()
    return spooled


def test_the_same_project_with_two_accounts_is_kept_apart() -> None:
    """Each account has its own groups of it, each once; accounts come in the order of the run, then projects."""
    with _several(
        _owned("b", ProjectLevel(P1), Target(P1, G1), Target(P1, G1)),
        _owned("a", Target(P1, G1), Target(P1, G2), Target(P2, G3)) + _owned("d", ProjectLevel(P3)),
        [],
    ) as spooled:
        assert (spooled.groups, spooled.levels, spooled.projects, spooled.duplicates) == (4, 2, 4, 1)
        extents = [("a", P1, 2, False), ("a", P2, 1, False), ("b", P1, 1, True), ("d", P3, 0, True)]
        assert list(spooled.extents()) == extents
        assert list(spooled.extents("b")) == extents[2:3]
        assert (spooled.accounts(), spooled.first_projects()) == (["a", "b", "d"], {"a": [P1], "b": [P1], "d": [P3]})
        assert _content(spooled, "a") == {P1: [G1, G2], P2: [G3]}
        assert _content(spooled, "b") == {P1: [ProjectLevel(P1), G1]}
        assert _content(spooled, "c") == {}


def test_of_accounts_at_one_endpoint_the_first_keeps_what_they_share() -> None:
    """It is one project there, and each of its groups is one target: the others' count as duplicates."""
    shared: list[Target | ProjectLevel] = [Target(P1, G1), Target(P1, G2), ProjectLevel(P1)]
    with _several(_owned("c", *shared), _owned("b", *shared, Target(P1, G3)), _owned("a", shared[0])) as spooled:
        spooled.unite(dict.fromkeys("cab", "https://one"))
        assert (spooled.groups, spooled.levels, spooled.projects, spooled.duplicates) == (3, 1, 2, 4)
        assert [_content(spooled, name) for name in "abc"] == [{P1: [G1]}, {P1: [ProjectLevel(P1), G2, G3]}, {}]


def test_accounts_at_different_endpoints_share_nothing() -> None:
    """A cloud and its clone know the same ids, and each is to be cleaned; so does one that nobody could sign in to."""
    shared: list[Target | ProjectLevel] = [Target(P1, G1), ProjectLevel(P1)]
    with _several(_owned("a", *shared), _owned("b", *shared), _owned("c", *shared)) as spooled:
        spooled.unite({"a": "https://one", "b": "https://two", "nobody": "https://one"})
        assert (spooled.groups, spooled.levels, spooled.projects, spooled.duplicates) == (3, 3, 3, 0)


def test_every_id_that_may_be_sent_can_be_kept() -> None:
    """Whatever script it is written in, and however close it is to another one, it comes back as it was."""
    ids = ["\U0001f9f9", "e\u0301", "\u00e9", "\u00df", "SS", "ss", "007", "7", "a'b", "x" * 256]
    with _several(_owned("a", *(Target(id_, other) for id_ in ids for other in ids))) as spooled:
        assert (spooled.groups, spooled.projects) == (100, 10)
        assert {project: set(groups) for project, groups in _content(spooled, "a").items()} == {
            one: set(ids) for one in ids
        }


LINES_OF_TWO = (
    f'{{"account": "prod", "project_id": "{P1}", "server_group_id": "{G1}", "verdict": "deleted"}}\n'
    f'{{"account": "the clone", "project_id": "{P1}", "server_group_id": "{G1}", "verdict": "transient"}}\n'
)
CSV_OF_TWO = f"project_id,account,server_group_id\n{P1},prod,{G1}\n{P1}, the clone ,{G1}\n"


@pytest.mark.parametrize("content", [LINES_OF_TWO, CSV_OF_TWO], ids=["results", "csv"])
def test_a_line_goes_back_to_the_account_that_it_names(tmp_path: Path, content: str) -> None:
    """Also where both accounts know the same ids; the fleet's accounts are the ones that there are."""
    with spool(_write(tmp_path, content), FLEET) as spooled:
        assert list(spooled.extents()) == [("prod", P1, 1, False), ("the clone", P1, 1, False)]
        assert spooled.duplicates == 0


@pytest.mark.parametrize("account", ["", '"account": "", ', '"account": null, ', '"account": "OS_TOKEN", '])
def test_with_one_account_a_line_may_name_it_or_none(tmp_path: Path, account: str) -> None:
    """A run of one account needs no name; an empty one is none; in a fleet of one account it is that one."""
    line = f'{{{account}"project_id": "{P1}", "server_group_id": "{G1}"}}'
    for owners in (ONE, ONE._replace(fleet=True)):
        with spool(_write(tmp_path, line), owners) as spooled:
            assert _content(spooled) == {P1: [G1]}


def test_a_csv_cell_of_an_account_may_be_empty(tmp_path: Path) -> None:
    """As in JSON, an empty name is none."""
    with spool(_write(tmp_path, f"account,project_id,server_group_id\n,{P1},{G1}\nOS_TOKEN,{P1},{G2}\n")) as spooled:
        assert _content(spooled) == {P1: [G1, G2]}


LINE = f'{{"account": %s, "project_id": "{P1}", "server_group_id": "{G1}"}}'
WRONG_OWNERS = [
    (ONE, LINE % '"prod"', 1, "of account 'prod', and this run is of OS_TOKEN, with which the same ids may be others"),
    (ONE, LINE % '"OS_TOKEN"' + "\n" + LINE % '"os_token"', 2, "(--fleet), or remove account from it"),
    (ONE, f"account,project_id,server_group_id\n\nprod,{P1},{G1}\n", 3, "of account 'prod'"),
    (ONE, LINE % '["prod"]', 1, 'account has to be a text, not ["prod"]'),
    (ONE, LINE % "7", 1, "account has to be a text, not 7"),
    (ONE, LINE % "0", 1, "account has to be a text, not 0"),
    (ONE, LINE % '"a\\u001bb"', 1, "of account 'a\\x1bb'"),
    (ONE, LINE % '"\\ud800"', 1, "account has to be a text"),
    (FLEET, LINE % '"test"', 1, "account 'test' is not one of the fleet (prod, the clone)"),
    (FLEET, LINE % '""', 1, "names no account, and the fleet has several: add the key account (prod, the clone)"),
    (FLEET, f"{P1}/{G1}", 1, "names no account, and the fleet has several"),
    (FLEET, f"project_id,server_group_id\n{P1},{G1}", 2, "names no account, and the fleet has several"),
    (FLEET, f"account,project_id,server_group_id,account\nprod,{P1},{G1},prod", 1, "name account once at most"),
    (Owners(tuple(f"a{n}" for n in range(9)), fleet=True), LINE % '"x"', 1, "fleet (a0, a1, a2, a3, a4 and 4 more)"),
]


@pytest.mark.parametrize(("owners", "content", "line", "message"), WRONG_OWNERS)
def test_a_line_of_another_account_is_refused(
    tmp_path: Path, owners: Owners, content: str, line: int, message: str
) -> None:
    """With its place, and what to do: the same ids may exist at the endpoint of this run, and be somebody else's."""
    source = _write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        spool(source, owners)
    assert str(caught.value).startswith(f"{source}, line {line}: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


# ---- endpoints

HERE, THERE = "https://sdrs.eu-de.example.com", "https://sdrs.eu-nl.example.com:8443/gate"
AT_HERE = Owners(("OS_TOKEN",), endpoints={"OS_TOKEN": HERE})
OF_TWO = Owners(("prod", "the clone"), fleet=True, endpoints={"prod": HERE})


def _at(endpoint: object, account: str = "OS_TOKEN", group: str = G1) -> str:
    line = {"account": account, "project_id": P1, "server_group_id": group, "endpoint": endpoint}
    return f"{json.dumps(line)}\n"


@pytest.mark.parametrize("spelled", [HERE, f"{HERE.upper().replace('HTTPS', 'https')}:443/", f"{HERE}/v1/{P1}"])
def test_a_line_of_the_endpoint_of_this_run_is_taken(tmp_path: Path, spelled: str) -> None:
    """However its URL is spelled, and beside lines that name none; also where it is known only after the sign-in."""
    content = _at(HERE) + _at(spelled, group=G2) + LINE % '"OS_TOKEN"'
    for owners in (AT_HERE, ONE):
        with spool(_write(tmp_path, content), owners) as spooled:
            spooled.unite({"OS_TOKEN": HERE})
            assert (spooled.groups, spooled.duplicates) == (2, 1)


def test_a_csv_may_be_the_results_of_a_run(tmp_path: Path) -> None:
    """As a spreadsheet saves them: account, endpoint and level are what they are in JSON; an empty cell is none."""
    header = "account,endpoint,level,project_id,server_group_id"
    rows = f"OS_TOKEN,{HERE},project,{P1},\n,,group,{P1},{G1}\nOS_TOKEN,{HERE},,{P1},{G2}\n"
    with spool(_write(tmp_path, f"{header}\n{rows}"), AT_HERE) as spooled:
        assert _content(spooled) == {P1: [ProjectLevel(P1), G1, G2]}
    for row, wrong in (
        (f",{THERE},,{P1},{G1}", f"at {THERE}, and in this run that account is at {HERE}"),
        (f",web,,{P1},{G1}", "endpoint 'web' is not a URL"),
        (f",,project,{P1},{G1}", "level is project, but a server_group_id is named too"),
        (f",,group,{P1},", "server_group_id '' is refused: it is empty"),
        (f",,,{P1},", "server_group_id '' is refused: it is empty"),
    ):
        with pytest.raises(ConfigError, match=f"line 5: .*{re.escape(wrong)}"):
            spool(_write(tmp_path, f"{header}\n{rows}{row}\n"), AT_HERE)


@pytest.mark.parametrize(
    ("owners", "content", "line", "message"),
    [
        (AT_HERE, _at(THERE), 1, f"account OS_TOKEN at {THERE}, and in this run that account is at {HERE}, where"),
        (AT_HERE, _at(HERE) + _at(THERE), 2, f"in this run that account is at {HERE}"),
        (AT_HERE, LINE % '""' + "\n" + _at(THERE, ""), 2, f"account OS_TOKEN at {THERE}"),
        (AT_HERE, _at("http://sdrs.eu-de.example.com"), 1, "account OS_TOKEN at http://sdrs.eu-de.example.com,"),
        (OF_TWO, _at(THERE, "the clone") + _at(THERE, "prod"), 2, f"account prod at {THERE}"),
        (OF_TWO, _at(THERE, "the clone") + _at(HERE, "prod") + _at(HERE, "the clone"), 3, f"but line 1 at {THERE}"),
        (ONE, _at(THERE) + _at(HERE), 2, f"account OS_TOKEN at {HERE}, but line 1 at {THERE}: "),
        (AT_HERE, _at(None), 1, "endpoint has to be a text, not null"),
        (AT_HERE, _at(7), 1, "endpoint has to be a text, not 7"),
        (AT_HERE, _at([HERE]), 1, 'endpoint has to be a text, not ["https'),
        (AT_HERE, _at("\ud800"), 1, "endpoint has to be a text"),
        (AT_HERE, _at(""), 1, "endpoint '' is not a URL"),
        (AT_HERE, _at(f"{HERE}\u200b"), 1, "is not a URL like"),
        (AT_HERE, _at(f" {HERE}"), 1, "is not a URL like"),
        (AT_HERE, _at("https://\u2100\u202e/"), 1, "is not a URL"),
        (AT_HERE, _at("https://" + "x" * 1000), 1, "is not a URL"),
        (AT_HERE, _at(f"{THERE}/{'x' * 1000}"), 1, f"account OS_TOKEN at {THERE}"),
        (ONE, _at(THERE) + _at(f"{THERE}/{'x' * 1000}"), 2, f"account OS_TOKEN at {THERE}"),
        (AT_HERE, _at("https://user:secret@host"), 1, "no user, query or fragment in it"),
    ],
)
def test_a_line_of_another_endpoint_is_refused(
    tmp_path: Path, owners: Owners, content: str, line: int, message: str
) -> None:
    """With its place: the same ids are other groups there, and the name of the account does not tell."""
    source = _write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        spool(source, owners)
    text = str(caught.value)
    assert text.startswith(f"{source}, line {line}: ")
    assert message in text
    assert text.isprintable()
    assert "secret" not in text
    assert len(text) < len(source) + 400


def test_an_endpoint_that_is_known_late_is_compared_then(tmp_path: Path) -> None:
    """Once the sign-in has named it, and with the place of the line, which nobody has kept but the list."""
    source = _write(tmp_path, LINE % '""' + "\n" + _at(THERE) + _at(THERE, group=G2))
    with spool(source) as spooled:
        with pytest.raises(ConfigError, match=f"line 2: is a target of account OS_TOKEN at {THERE}, and in this run"):
            spooled.unite({"OS_TOKEN": HERE})
        assert spooled.endpoints() == {"OS_TOKEN": THERE}
    with spool(source) as spooled:
        spooled.unite({"OS_TOKEN": THERE})
    with spool(source) as spooled:
        spooled.unite({})


def test_the_sources_are_a_mapping(tmp_path: Path) -> None:
    """What `per_project` returns is a mapping of project id to group ids, as `clean()` takes it."""
    with spool(_write(tmp_path, f"{P1}/{G1}")) as spooled:
        sources = spooled.per_project("OS_TOKEN")
        assert isinstance(sources, Mapping)
        assert (list(sources), len(sources), P2 in sources) == ([P1], 1, False)
        with pytest.raises(KeyError):
            sources[P2]


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool has no name in the folder for temporary files, so even a kill leaves nothing behind."""
    source = _write(tmp_path, "\n".join(f"{P1}/{number}" for number in range(1000)))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(folder))
    with spool(source, any_ids=True) as spooled:
        assert spooled.groups == 1000
        assert list(folder.iterdir()) == []


def test_a_failing_disk_is_a_clear_error(tmp_path: Path) -> None:
    """When the temporary storage fails, the error says that and how to choose another place."""
    spooled = spool(_write(tmp_path, f"{P1}/{G1}"))
    groups = spooled.per_project("OS_TOKEN")[P1]
    spooled.close()
    with pytest.raises(ConfigError, match=r"cannot be kept in a temporary file.*TMPDIR"):
        next(groups)
