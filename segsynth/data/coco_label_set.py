"""The COCO-Stuff label table as plain rows: id, train id, name, colour, whether it is a thing.

Facts: labels.txt and README of nightrome/cocostuff (Caesar, Uijlings, Ferrari 2018). An id here is
the number in the stuffthingmaps PNGs, which is the COCO category id minus 1: 0..90 are things,
91..181 stuff, 255 unlabelled. `segsynth.data.label_sets.COCO_STUFF` is the table made of the rows.
"""

#: "None of the classes", in the files and among train ids.
UNLABELLED = 255

_THINGS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis,
snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket,
bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,
carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window,
desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush
"""

_STUFF = """
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog,
food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat,
metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other,
plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
"""

#: Things that have an id but were never annotated; they have no train id.
NEVER_ANNOTATED: frozenset[str] = frozenset(
    "street sign,hat,shoe,eye glasses,plate,mirror,window,desk,door,blender,hair brush".split(",")
)

Row = tuple[int, int, str, tuple[int, int, int], bool]


def voc_colour(number: int) -> tuple[int, int, int]:
    """Returns a colour of the PASCAL VOC palette (Everingham et al., VOC devkit), different ones
    for all numbers of 0..255, 0 = black.

    Bits 0, 3, 6 of the number are the upper bits of red, from the top down; 1, 4, 7 those of green;
    2, 5 those of blue.

    """
    channels = (sum((number >> 3 * j + c & 1) << 7 - j for j in range(3)) for c in range(3))
    red, green, blue = channels
    return red, green, blue


def _rows() -> tuple[Row, ...]:
    things, stuff = ([" ".join(n.split()) for n in t.split(",")] for t in (_THINGS, _STUFF))
    rows: list[Row] = []
    train_id = 0
    for number, name in enumerate(things + stuff):
        trained = name not in NEVER_ANNOTATED
        found = (train_id if trained else UNLABELLED, name, voc_colour(number + 1))
        rows.append((number, *found, number < len(things)))
        train_id += trained
    return (*rows, (UNLABELLED, UNLABELLED, "unlabeled", (0, 0, 0), False))


#: Ids 0..181 and 255; train ids 0..170 number the 171 classes that occur, in the order of the ids.
#: A class's colour is that of its COCO category id, id + 1, in the VOC palette.
ROWS: tuple[Row, ...] = _rows()
