"""The settings of the levels: the published ones by default, contradictions refused."""

import pytest

from segsynth.errors import UserError
from segsynth.systems.inpaint_c2f.levels import Levels


@pytest.mark.parametrize("name", ["cfg", "gain"])
@pytest.mark.parametrize("values", [(2.0, 2.0, 1.0), (1.0, 0.5, 0.75), (1.0, 2.0, 3.0)])
def test_scales_that_do_not_fall_are_refused(name, values):
    with pytest.raises(UserError, match=f"levels.{name} .* does not fall"):
        Levels(**{name: values})
    Levels(**{name: (2.0, 1.0, 0.5)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(steps=(4, 3)), "levels.steps has 2 entries for 3 levels"),
        (dict(res=(256, 512, 768)), "goes from 512 to 768"),
        (dict(patch=(3, 2, 4)), "levels.res 256 is not a multiple of 24"),
    ],
)
def test_other_inconsistent_levels_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        Levels(**change).build()


def test_defaults_are_the_papers():
    levels = Levels().build()
    assert tuple(level.steps for level in levels) == (60, 40, 30)
    assert tuple(level.side for level in levels) == (256, 512, 1024)
    for name in ("guidance", "gain"):
        values = [getattr(level, name) for level in levels]
        assert values == sorted(set(values), reverse=True)
