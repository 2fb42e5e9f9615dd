"""The plan of a street: ground, house fronts, and what stands and drives in between."""

import dataclasses

import numpy as np

from segsynth.data.worlds.street_camera import Camera, StreetLayer
from segsynth.data.worlds.street_looks import STEADY, Light, lit, random_light, steadied, surface
from segsynth.data.worlds.street_objects import THINGS
from segsynth.data.worlds.textures import Texture

#: Ends of the street, metres.
_NEAR, _FAR = 2.0, 300.0
#: First id of the classes with instances.
_INSTANCES = 24


@dataclasses.dataclass(eq=False)
class Plan:
    """A street in the making: the layers so far, each with the distance that it is sorted by.

    ``steady``: whether surfaces have the colours of their classes. All draws are the same.
    """

    rng: np.random.Generator
    camera: Camera
    light: Light
    left: float
    right: float
    walks: tuple[float, float]
    ground: list[StreetLayer]
    upright: list[tuple[float, StreetLayer]]
    counts: dict[int, int]
    steady: bool

    def layers(self) -> tuple[StreetLayer, ...]:
        """Everything from far to near."""
        ordered = sorted(self.upright, key=lambda pair: -pair[0])
        return (*self.ground, *(layer for _, layer in ordered))

    def look(self, class_id: int, kind: str, distance: float, shade: float = 1.0) -> Texture:
        """Draw a surface at a distance."""
        scale = self.camera.scale(distance)
        drawn = surface(self.rng, kind, self.light, distance=distance, scale=scale, shade=shade)
        return steadied(drawn, class_id, kind) if self.steady else drawn

    def lay(self, class_id: int, kind: str, contour: np.ndarray, shade: float = 1.0) -> None:
        """Put a surface on the ground."""
        texture = self.look(class_id, kind, 12.0, shade)
        self.ground.append(StreetLayer(class_id, 0, None, (contour,), texture))

    def stand(
        self, class_id: int, kind: str, contour: np.ndarray, distance: float, order: float
    ) -> None:
        """Put up a surface that belongs to no object."""
        texture = self.look(class_id, kind, distance)
        layer = StreetLayer(class_id, 0, distance, (contour,), texture)
        self.upright.append((order, layer))

    def place(self, name: str, x: float, z: float) -> None:
        """Put a thing of `THINGS` on the ground at (x, z)."""
        class_id, draw = THINGS[name]
        instance = 0
        if class_id >= _INSTANCES:
            self.counts[class_id] = self.counts.get(class_id, -1) + 1
            instance = 1000 * class_id + self.counts[class_id]
        for step, (outline, kind) in enumerate(draw(self.rng)):
            contour = self.camera.facing(outline, x, z)
            low, high = contour.min(axis=0), contour.max(axis=0)
            texture = self.look(class_id, kind, z)
            if kind in ("lacquer", "cloth", "foliage", "skin"):
                texture = lit(texture, (low + high) / 2, high - low, self.light)
            layer = StreetLayer(class_id, instance, z, (contour,), texture)
            self.upright.append((z - 1e-4 * step, layer))


def draw(
    rng: np.random.Generator, aspect: float, steady: bool = False
) -> tuple[Camera, Light, tuple[StreetLayer, ...]]:
    """Draw a street for a frame whose height is ``aspect`` widths.

    ``steady``: under one light, each class in its colour; what stands where is the same.
    """
    camera = Camera(
        aspect=aspect,
        horizon=float(rng.uniform(0.36, 0.52)) * aspect,
        centre=float(rng.uniform(0.35, 0.65)),
        focal=float(rng.uniform(0.8, 1.15)),
        height=float(rng.uniform(1.15, 1.7)),
    )
    left, right = (float(side) for side in rng.uniform(3.0, 6.5, 2))
    first, second = (float(side) for side in rng.uniform(1.5, 4.5, 2))
    light = random_light(rng)
    light = STEADY if steady else light
    plan = Plan(rng, camera, light, -left, right, (first, second), [], [], {}, steady)
    _sky_and_skyline(plan)
    _ground(plan)
    _fronts(plan, -1)
    _fronts(plan, 1)
    _overhead(plan)
    _roadside(plan)
    _traffic(plan)
    _people(plan)
    return camera, plan.light, (*plan.layers(), *_own_car(plan))


def _sky_and_skyline(plan: Plan) -> None:
    camera, rng = plan.camera, plan.rng
    frame = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, camera.aspect], [0.0, camera.aspect]])
    sky = surface(rng, "sky", dataclasses.replace(plan.light, density=0.0))
    sky = steadied(sky, 23, "sky") if plan.steady else sky
    plan.ground.append(StreetLayer(23, 0, np.inf, (frame,), sky))
    for _ in range(int(rng.integers(0, 3))):
        class_id, kind = ((21, "foliage"), (11, "facade"), (22, "grass"))[int(rng.integers(3))]
        x = np.linspace(-0.05, 1.05, 45)
        order = np.arange(1, 6)
        waves = np.sin(2 * np.pi * order * x[:, None] + rng.uniform(0, 2 * np.pi, 5)) / order
        top = camera.horizon - rng.uniform(0.01, 0.07) - 0.02 * waves @ rng.uniform(0, 0.6, 5)
        line = np.stack([x, np.minimum(top, camera.horizon)], -1)
        low = camera.horizon + 0.02
        contour = np.concatenate([line, [[1.05, low], [-0.05, low]]])
        texture = plan.look(class_id, kind, 250.0)
        plan.ground.append(StreetLayer(class_id, 0, 250.0, (contour,), texture))


def _ground(plan: Plan) -> None:
    camera, rng = plan.camera, plan.rng
    below = np.array(
        [[0.0, camera.horizon], [1.0, camera.horizon], [1.0, camera.aspect], [0.0, camera.aspect]]
    )
    base = int(rng.choice([22, 8, 9, 6], p=[0.5, 0.3, 0.1, 0.1]))
    plan.lay(base, "grass" if base == 22 else "paving", below)
    for side, walk in ((plan.left, -plan.walks[0]), (plan.right, plan.walks[1])):
        plan.lay(8, "paving", camera.strip(*sorted((side, side + walk)), _NEAR, _FAR))
        if rng.random() < 0.25:
            edge = side + walk * rng.uniform(0.1, 0.5)
            plan.lay(22, "grass", camera.strip(*sorted((side, edge)), _NEAR, _FAR))
    plan.lay(7, "asphalt", camera.strip(plan.left, plan.right, _NEAR, _FAR))
    if rng.random() < 0.15:
        side = rng.choice([plan.left, plan.right])
        plan.lay(9, "paving", camera.strip(*sorted((side, side * 0.65)), _NEAR, _FAR))
    if rng.random() < 0.15:
        middle = rng.uniform(plan.left + 1.5, plan.right - 1.5)
        plan.lay(10, "asphalt", camera.strip(middle - 1.2, middle + 1.2, _NEAR, _FAR))
    _markings_and_shadows(plan)


def _markings_and_shadows(plan: Plan) -> None:
    camera, rng = plan.camera, plan.rng
    lane = rng.uniform(plan.left * 0.4, plan.right * 0.4)
    start, gap = rng.uniform(0.0, 6.0), rng.uniform(4.0, 9.0)
    for k in range(int(rng.integers(0, 9))):
        near = 3.0 + start + k * gap
        plan.lay(7, "paint", camera.strip(lane - 0.07, lane + 0.07, near, near + gap * 0.5))
    for _ in range(int(rng.integers(0, 4))):
        left, right = np.sort(rng.uniform(plan.left, plan.right, 2))
        near = float(np.exp(rng.uniform(np.log(3.0), np.log(50.0))))
        far = near * rng.uniform(1.1, 1.8)
        plan.lay(7, "asphalt", camera.strip(left, right, near, far), rng.uniform(0.4, 0.8))


def _fronts(plan: Plan, side: int) -> None:
    """House fronts, walls, fences and gaps along one side, near to far."""
    camera, rng = plan.camera, plan.rng
    x = plan.right + plan.walks[1] if side > 0 else plan.left - plan.walks[0]
    x += side * rng.uniform(0.0, 4.0)
    near = _NEAR
    while near < 120.0:
        far = near + rng.uniform(5.0, 25.0)
        kind = str(
            rng.choice(
                ["house", "wall", "fence", "guard rail", "trees", "gap"],
                p=[0.56, 0.08, 0.09, 0.03, 0.12, 0.12],
            )
        )
        distance = (near + far) / 2
        if kind == "house":
            tall = rng.uniform(4.0, 20.0)
            plan.stand(11, "facade", camera.receding(x, 0.0, tall, near, far), distance, far)
            ground = camera.receding(x, 0.0, rng.uniform(2.5, 4.0), near, far)
            if rng.random() < 0.5:
                plan.stand(11, "facade", ground, distance, far - 1e-3)
            if near > _NEAR:
                face = np.array([[0.0, 0.0], [12.0 * side, 0.0], [12.0 * side, tall], [0.0, tall]])
                plan.stand(11, "facade", camera.facing(face, x, near), near, far - 2e-3)
        elif kind in ("wall", "fence", "guard rail"):
            class_id = {"wall": 12, "fence": 13, "guard rail": 14}[kind]
            low, high = (0.4, 0.9) if class_id == 14 else (0.0, rng.uniform(1.0, 2.8))
            look = "masonry" if class_id == 12 else "bars"
            plan.stand(class_id, look, camera.receding(x, low, high, near, far), distance, far)
        elif kind == "trees":
            for _ in range(int(rng.integers(1, 4))):
                place = rng.uniform(near, far)
                plan.place("tree" if rng.random() < 0.7 else "bush", x + side * 2.0, place)
        near = far + (rng.uniform(0.0, 4.0) if rng.random() < 0.3 else 0.0)


def _overhead(plan: Plan) -> None:
    """A bridge across the street, or a tunnel's mouth."""
    camera, rng = plan.camera, plan.rng
    if rng.random() < 0.06:
        z, low = rng.uniform(15.0, 70.0), rng.uniform(4.2, 6.0)
        slab = camera.facing(
            np.array([[-60.0, low], [60.0, low], [60.0, low + 1.6], [-60.0, low + 1.6]]), 0.0, z
        )
        plan.stand(15, "masonry", slab, z, z)
    if rng.random() < 0.04:
        z, wide = rng.uniform(25.0, 80.0), plan.right - plan.left
        mouth = np.array([[-wide, 0.0], [wide, 0.0], [wide, 9.0], [-wide, 9.0]])
        middle = (plan.left + plan.right) / 2
        plan.stand(16, "masonry", camera.facing(mouth, middle, z), z, z)
        plan.stand(16, "rubber", camera.facing(mouth * [0.55, 0.6], middle, z), z, z - 1e-3)


def _beside(plan: Plan, share: float) -> float:
    """A place on one of the two sidewalks, ``share`` from the kerb to the houses."""
    if plan.rng.random() < 0.5:
        return plan.left - share * plan.walks[0]
    return plan.right + share * plan.walks[1]


def _away(plan: Plan, near: float, far: float) -> float:
    """A distance, as often near as far on a logarithmic scale."""
    return float(np.exp(plan.rng.uniform(np.log(near), np.log(far))))


def _roadside(plan: Plan) -> None:
    rng = plan.rng
    for _ in range(int(rng.integers(2, 9))):
        x, z = _beside(plan, rng.uniform(0.05, 0.3)), _away(plan, 6.0, 80.0)
        plan.place("pole", x, z)
        if rng.random() < 0.5:
            plan.place("traffic sign" if rng.random() < 0.65 else "traffic light", x, z - 0.05)
    if rng.random() < 0.12:
        x, z = _beside(plan, 0.2), _away(plan, 8.0, 40.0)
        for k in range(3):
            plan.place("polegroup", x + 0.25 * k, z)
    for _ in range(int(rng.integers(0, 5))):
        plan.place(
            "tree" if rng.random() < 0.7 else "bush", _beside(plan, 0.8), _away(plan, 6.0, 90.0)
        )
    names = ["static", "dynamic", "unlabeled"]
    for _ in range(int(rng.integers(0, 4))):
        name = str(rng.choice(names, p=[0.6, 0.25, 0.15]))
        plan.place(name, _beside(plan, rng.uniform(0.1, 0.9)), _away(plan, 5.0, 50.0))


def _traffic(plan: Plan) -> None:
    rng = plan.rng
    for side in (plan.left + 1.0, plan.right - 1.0):
        if rng.random() < 0.6:
            z = rng.uniform(5.0, 20.0)
            for _ in range(int(rng.integers(1, 8))):
                plan.place("car", side + rng.normal(0.0, 0.15), z)
                z += rng.uniform(5.0, 9.0)
    names = ["car", "crossing car", "truck", "bus", "caravan", "trailer", "train", "motorcycle"]
    shares = np.array([0.52, 0.1, 0.09, 0.08, 0.04, 0.04, 0.06, 0.07])
    for _ in range(int(rng.integers(0, 6))):
        x = rng.uniform(plan.left * 0.55, plan.right * 0.55)
        name = str(rng.choice(names, p=shares))
        z = _away(plan, 7.0, 90.0)
        plan.place(name, x, z)
        if name == "motorcycle" and rng.random() < 0.6:
            plan.place("rider", x, z - 0.05)


def _people(plan: Plan) -> None:
    rng = plan.rng
    for _ in range(int(rng.integers(0, 8))):
        on_road = rng.random() < 0.15
        x = rng.uniform(plan.left, plan.right) if on_road else _beside(plan, rng.uniform(0.2, 0.9))
        plan.place("person", x, _away(plan, 6.0, 60.0))
    for _ in range(int(rng.integers(0, 4))):
        x, z = rng.uniform(plan.left, plan.right), _away(plan, 6.0, 50.0)
        plan.place("bicycle", x, z)
        if rng.random() < 0.6:
            plan.place("rider", x, z - 0.05)


def _own_car(plan: Plan) -> tuple[StreetLayer, ...]:
    """The bonnet of the recording car, and what rectification leaves of the frame."""
    camera, rng = plan.camera, plan.rng
    layers = []
    if rng.random() < 0.6:
        top, turn = rng.uniform(0.03, 0.1) * camera.aspect, np.linspace(np.pi, 2 * np.pi, 41)
        bonnet = np.stack([0.5 + 0.62 * np.cos(turn), camera.aspect + top * np.sin(turn)], -1)
        layers.append(StreetLayer(1, 0, 4.0, (bonnet,), plan.look(1, "lacquer", 1.0)))
    for class_id, chance in ((2, 0.4), (3, 0.4)):
        if rng.random() < chance:
            inner, high = rng.uniform(0.002, 0.008), camera.aspect
            frame = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, high], [0.0, high]])
            hole = np.clip(frame, [inner, inner], [1 - inner, high - inner])[::-1]
            texture = plan.look(class_id, "rubber", 1.0, 0.2)
            layers.append(StreetLayer(class_id, 0, 4.0, (frame, hole), texture))
    return tuple(layers)
