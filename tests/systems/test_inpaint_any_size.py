"""Pictures of any size: which level stops, how they are padded, and what comes back."""

import jax
import numpy as np
import pytest
from cascades import LEVELS

from segsynth import systems
from segsynth.errors import UserError
from segsynth.systems.inpaint_c2f import any_size


def build(levels=LEVELS):
    return systems.build(dict(name="inpaint_c2f", train="level3", levels=levels))


class Painter:
    """A compiled predict that fills holes with 9 and remembers what it was asked."""

    def __call__(self, system, batch, key):
        self.system, self.batch = system, batch
        image = np.where(batch["mask"], np.uint8(9), batch["image"])
        outputs = {"image": image}
        for i in range(1, system.top):
            step = 2 ** (system.top - i)
            outputs[f"level{i}"] = image[:, ::step, ::step]
        return outputs


def any_picture(height, width):
    rng = np.random.default_rng(height)
    image = rng.integers(10, 256, (height, width, 3), dtype=np.uint8)
    mask = (rng.random((height, width, 1)) < 0.2).astype(np.uint8)
    mask[height // 2, width // 2] = 1
    return dict(image=image, mask=mask, category=1)


@pytest.mark.parametrize(
    ("size", "levels", "padded", "top"),
    [
        ((680, 512), {}, (704, 512), 3),
        ((200, 256), {}, (208, 256), 1),
        ((300, 257), {}, (320, 288), 2),
        ((1100, 70), {}, (1152, 128), 3),
        ((31, 18), LEVELS, (32, 24), 3),
        ((5, 9), LEVELS, (8, 12), 2),
        ((1, 1), LEVELS, (2, 2), 1),
    ],
)
def test_any_size(size, levels, padded, top):
    system, painter, inputs = build(levels), Painter(), any_picture(*size)
    result = system.synthesize(painter, inputs, jax.random.key(0))
    assert painter.system.top == top
    assert painter.batch["image"].shape == (1, *padded, 3)
    assert painter.batch["mask"].shape == (1, *padded, 1)
    assert painter.batch["category"].tolist() == [1]
    assert set(result) == {"image", *(f"level{i}" for i in range(1, top))}
    hole = inputs["mask"][..., 0] == 1
    assert result["image"].shape == inputs["image"].shape
    np.testing.assert_array_equal(result["image"][~hole], inputs["image"][~hole])
    assert (result["image"][hole] == 9).all()
    for i in range(1, top):
        scale = 2 ** (top - i)
        expected = tuple(-(-n // scale) for n in size)
        assert result[f"level{i}"].shape == (*expected, 3)
    # The reflection: what was padded repeats the picture, and its mask.
    grown = painter.batch["image"][0]
    np.testing.assert_array_equal(grown[: size[0], : size[1]], inputs["image"])
    if 1 < size[0] < padded[0]:
        np.testing.assert_array_equal(grown[size[0], : size[1]], inputs["image"][-2])


@pytest.mark.parametrize("levels", [{}, LEVELS])
def test_padded_sides_fit_every_level(levels):
    """The multiple divides what the networks and the halvings need, and no smaller one does."""
    cascade = build(levels).cascade

    def fits(multiple):
        top = len(cascade.levels)
        return all(
            multiple % 2 ** (top - i) == 0 and multiple // 2 ** (top - i) % level.multiple == 0
            for i, level in enumerate(cascade.levels, start=1)
        )

    assert fits(cascade.multiple)
    assert not fits(cascade.multiple // 2)


def test_a_mask_of_another_size_is_refused():
    inputs = any_picture(20, 30) | dict(mask=np.ones((30, 20, 1), np.uint8))
    with pytest.raises(UserError, match="mask is 20x30 px and the image 30x20"):
        any_size.synthesize(build(), Painter(), inputs, jax.random.key(0))
