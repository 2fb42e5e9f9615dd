"""Label maps that a system takes in published ids, and in train ids."""

import numpy as np
import pytest
import toys

from segsynth import predict, systems
from segsynth.data import pictures
from segsynth.errors import UserError

#: Road, building and a class that is not evaluated.
IDS = np.array([[[7], [11]], [[4], [7]]], np.uint8)


class Echo(toys.Plain):
    """Learns nothing, and remembers what it was given."""

    seen = ()

    def synthesize(self, predict, inputs, key):
        Echo.seen = inputs["labels"]
        return {"labels": inputs["labels"]}


@pytest.fixture
def synthesizer(monkeypatch):
    monkeypatch.setitem(systems.REGISTRY, "echo", Echo)
    monkeypatch.delattr(toys.Plain, "train_step")

    def make(**data):
        return predict.from_config({"system": {"name": "echo"}, "data": data})

    return make


@pytest.mark.parametrize("data", [{}, {"ids": "published"}])
def test_published_ids_stay_as_they_are(synthesizer, data, tmp_path):
    one = synthesizer(label_set="cityscapes", **data)
    np.testing.assert_array_equal(one(labels=IDS)["labels"], IDS)
    np.testing.assert_array_equal(Echo.seen, IDS)
    none = np.where(IDS == 4, 255, IDS).astype(np.uint8)
    np.testing.assert_array_equal(one(labels=none)["labels"], none)  # for the system to judge
    path = tmp_path / "wrong.png"
    pictures.write_png(path, np.where(IDS == 4, 35, IDS).astype(np.uint8))
    with pytest.raises(UserError, match=r"wrong\.png holds the label 35"):
        one(labels=path)


def test_train_ids_are_mapped_and_mapped_back(synthesizer):
    one = synthesizer(label_set="cityscapes", ids="train")
    np.testing.assert_array_equal(one(labels=IDS)["labels"], IDS)
    np.testing.assert_array_equal(Echo.seen[..., 0], [[0, 2], [255, 0]])
    with pytest.raises(UserError, match="labels holds the label 255"):
        one(labels=np.full_like(IDS, 255))


def test_without_a_table_nothing_is_mapped(synthesizer):
    np.testing.assert_array_equal(synthesizer()(labels=IDS)["labels"], IDS)
