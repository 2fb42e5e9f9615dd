"""Config sections against signatures: what is unknown, missing or refused, and how it is said."""

import dataclasses
from typing import Literal

import pytest

from segsynth.errors import UserError
from segsynth.settings import configure, merge, unknown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    size: int
    widths: tuple = ()
    kind: Literal["gt", "mix"] = "gt"
    nested: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if self.size < 0:
            raise ValueError(f"size is {self.size}, expected >= 0")


def test_the_keys_of_a_section_are_keywords():
    assert configure(Section, {"size": 3}, "data") == Section(size=3)


def test_lists_become_tuples_at_every_depth():
    made = configure(
        Section, {"size": 1, "widths": [[1, 2], [3]], "nested": {"a": [4, [5]]}}, "data"
    )
    assert made.widths == ((1, 2), (3,)) and made.nested == {"a": (4, (5,))}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"size": 1, "width": 2}, "data has no 'width'; did you mean 'widths'?"),
        ({"size": 1, "zzz": 2}, "data has no 'zzz'; it knows kind, nested, size, widths"),
        ({"widths": (1,)}, "data lacks size; set data.size"),
        ({"size": 1, "kind": "gtt"}, "data.kind is 'gtt'; expected one of ('gt', 'mix')"),
        ({"size": -1}, "data: size is -1, expected >= 0"),
    ],
)
def test_mistakes_are_one_line(section, message):
    with pytest.raises(UserError) as error:
        configure(Section, section, "data")
    assert str(error.value) == message


def test_errors_that_are_no_users_mistake_pass_through():
    def broken(size: int):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        configure(broken, {"size": 1}, "data")


def test_unknown_names_the_nearest():
    assert unknown("lcgg", {"lcg": 1, "level1": 2}, "this run") == (
        "this run has no 'lcgg'; did you mean 'lcg'?"
    )


def test_later_sections_lie_on_top():
    base = {"a": 1, "mask": {"probs": (1, 0), "brush": (2,)}, "b": {"c": 3}}
    merged = merge(base, {"a": 5, "mask": {"probs": (0, 1)}}, {"b": 7})
    assert merged == {"a": 5, "mask": {"probs": (0, 1), "brush": (2,)}, "b": 7}
    assert base["mask"]["probs"] == (1, 0), "the sections themselves are left alone"


def test_a_value_gives_way_to_a_section():
    assert merge({"mask": "none"}, {"mask": {"probs": 1}}) == {"mask": {"probs": 1}}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"steps": "5"}, "where.steps is '5'; expected a whole number"),
        ({"steps": 1.5}, "expected a whole number"),
        ({"steps": True}, "expected a whole number"),
        ({"share": "x"}, "where.share is 'x'; expected a number"),
        ({"name": 3}, "where.name is 3; expected text"),
        ({"keys": "labels"}, r"where.keys is 'labels'; expected a tuple, as in \('a',\)"),
    ],
)
def test_a_value_of_another_type_is_named(section, expected):
    def build(steps: int = 1, share: float = 0.5, name: str = "", keys: tuple[str, ...] = ()):
        return steps, share, name, keys

    with pytest.raises(UserError, match=expected):
        configure(build, section, "where")
    assert configure(build, {"share": 1, "keys": ["a"]}, "where") == (1, 1, "", ("a",))
