"""State is written where it lives: by the class that it is of, and by nobody else."""

from __future__ import annotations

from pathlib import Path

from tests.support import state

MOST = 12


def test_a_class_writes_its_own_attributes_and_nobody_elses() -> None:
    """Whoever wants something changed calls a verb of the one that it belongs to. Servers that are modelled apart."""
    assert state.written_outside() == []


def test_plain_data_is_written_in_its_own_room_alone(tmp_path: Path) -> None:
    """Only in the rooms that may do so, only dataclasses, and no name that an ordinary class there has as well."""
    package = tmp_path / "house"
    for room in ("engine", "report"):
        (package / room).mkdir(parents=True)
        (package / room / "data.py").write_text("@dataclass\nclass Data:\n    a: int\n    b: int\n")
    (package / "engine" / "owner.py").write_text("class Owner:\n    def f(self):\n        self.b = self.c = 0\n")
    (package / "engine" / "other.py").write_text("def f(x):\n    x.a = x.b = x.c = 1\n")
    (package / "report" / "other.py").write_text("def f(x):\n    x.a = 1\n")
    (package / "top.py").write_text("def f(x):\n    x.a = 1\n")
    assert state.written_outside(package) == [
        "engine.other:2: x.b",
        "engine.other:2: x.c",
        "report.other:2: x.a",
        "top:2: x.a",
    ]


def test_no_verb_only_assigns_what_it_is_given() -> None:
    """That would be writing from outside by another name."""
    assert state.setters() == []


def test_no_class_has_more_attributes_than_one_can_keep_in_mind() -> None:
    """What has more is several things. Plain data apart."""
    large = {one.name: len(one.attributes) for one in state.classes() if not one.is_data and len(one.attributes) > MOST}
    assert large == {}


def test_what_writes_from_outside_is_seen(tmp_path: Path) -> None:
    """The tests above can fail: an assignment, one in a tuple, a count and a deletion are found, and a setter is."""
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (room / "owner.py").write_text(
        "class Owner:\n"
        "    def __init__(self):\n        self.a = self.b = self.c = self.d = 0\n"
        "    def put(self, a):\n        self.a = a\n"
        "    def join(self, other):\n        other.a = self.a\n"
    )
    (room / "other.py").write_text(
        "def f(x):\n    x.a = 1\n    x.b, y = 1, 2\n    x.c += 1\n    del x.d\n    x.foreign = 1\n"
    )
    package = tmp_path / "house"
    assert [line.split(": ")[1] for line in state.written_outside(package)] == ["x.a", "x.b", "x.c", "x.d"]
    assert state.setters(package) == ["room.owner: Owner.put"]
