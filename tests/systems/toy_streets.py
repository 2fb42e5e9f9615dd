"""Toy streets of 32 x 64 px whose photographs are easy renderings of their maps."""

import numpy as np
from scipy import ndimage

HEIGHT, WIDTH, CLASSES = 32, 64, 9
NAMES = ("void", "sky", "road", "building", "pavement", "tree", "car", "person", "pole")
_COLOURS = np.array(
    [
        *((20, 20, 60), (150, 200, 240), (90, 90, 95), (170, 110, 80), (200, 190, 190)),
        *((50, 120, 50), (40, 60, 180), (220, 50, 60), (230, 210, 50)),
    ],
    float,
)
#: Pixels from a border within which a coarse map has no label.
_ERODED = 2


def example(random):
    """Return a map, its photograph and its coarse map; 0 is both the bonnet and "no label"."""
    labels = np.full((HEIGHT, WIDTH), 1)
    horizon = int(random.integers(11, 16))
    labels[horizon:] = 4
    x = 0
    while x < WIDTH:
        wide, top = int(random.integers(6, 16)), int(random.integers(2, horizon))
        labels[top:horizon, x : x + wide] = 3 if random.random() < 0.75 else 1
        x += wide
    rows = np.arange(HEIGHT - horizon)[:, None]
    middle, slope = random.uniform(24, 40), random.uniform(0.8, 1.6)
    inside = np.abs(np.arange(WIDTH) - middle) < 4 + slope * rows
    labels[horizon:][inside] = 2
    for _ in range(random.integers(1, 4)):
        _disc(labels, random.integers(6, horizon), random.integers(0, WIDTH), 4, 3, 5)
    for _ in range(random.integers(1, 4)):
        y, x = random.integers(horizon + 1, HEIGHT - 6), random.integers(4, WIDTH - 12)
        size = 3 + (y - horizon) // 4
        labels[y : y + size, x : x + 2 * size] = 6
    for _ in range(random.integers(1, 4)):
        _disc(labels, random.integers(horizon, 26), random.integers(2, WIDTH - 2), 3, 1.5, 7)
    for x in random.integers(0, WIDTH, random.integers(1, 4)):
        labels[int(random.integers(3, 8)) : horizon + 4, x] = 8
    if random.random() < 0.6:
        labels[HEIGHT - int(random.integers(2, 4)) :] = 0
    noise = random.normal(0, 4, (HEIGHT, WIDTH, 3))
    shade = 1 + 0.1 * np.linspace(-1, 1, HEIGHT)[:, None, None]
    image = np.clip(_COLOURS[labels] * shade + noise, 0, 255)
    side = 2 * _ERODED + 1
    pure = ndimage.maximum_filter(labels, side) == ndimage.minimum_filter(labels, side)
    found = {"labels": labels[..., None], "image": image, "coarse": (labels * pure)[..., None]}
    return {name: x.astype(np.uint8) for name, x in found.items()}


def examples(count, seed):
    """Return a batch of different streets."""
    found = [example(np.random.default_rng((seed, i))) for i in range(count)]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def _disc(labels, y, x, high, wide, number):
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    labels[((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1] = number
