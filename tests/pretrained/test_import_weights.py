"""launch/import_weights.py: from a published file to ``pretrained:<name>``."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny
from golden import load, worst
from weights import fill

from segsynth import weights
from segsynth.engine import imported
from segsynth.errors import UserError
from segsynth.pretrained.lpips import lpips_keys

ROOT = pathlib.Path(__file__).parents[2]
DATA = tiny.npz(**tiny.tensors())


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "weights"


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_the_published_file_is_imported(monkeypatch, tmp_path, folder, capsys):
    tiny.catalogue(monkeypatch, DATA)
    weights.import_weights("tiny", [written(tmp_path / "any name", DATA)])
    assert capsys.readouterr().out == f"{folder / 'tiny'}: tiny\n"
    found = imported.load("pretrained:tiny")
    assert found.published
    bias = found.variables["params"]["conv2_1"]["bias"]
    np.testing.assert_array_equal(bias, tiny.tensors()["block2_conv1/bias"])


def test_another_file_is_refused_unless_it_may_be_unlisted(monkeypatch, tmp_path, folder, capsys):
    row = tiny.catalogue(monkeypatch, DATA)
    other = written(tmp_path / "mine.npz", tiny.npz(**tiny.tensors(1)))
    sha = row.files[0].sha256[:16]
    message = rf"mine\.npz has sha256 .*, and the published tiny\.npz has {sha}; .*allow-unlisted"
    with pytest.raises(UserError, match=message):
        weights.import_weights("tiny", [other])
    assert not folder.exists()
    weights.import_weights("tiny", [other], allow_unlisted=True)
    assert "unlisted: not the published files" in capsys.readouterr().out
    assert not imported.load("pretrained:tiny").published


def test_a_network_whose_sha256_nobody_published_needs_consent(monkeypatch, tmp_path):
    row = tiny.catalogue(monkeypatch, DATA)
    object.__setattr__(row.files[0], "sha256", "")
    with pytest.raises(UserError, match=r"the published tiny\.npz has none that is known"):
        weights.import_weights("tiny", [written(tmp_path / "tiny.npz", DATA)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"aux": np.zeros(1)}, "holds 'aux'"),
        (lambda t: {k: v for k, v in t.items() if "bias" not in k}, "lacks 'block1_conv1/bias'"),
        (
            lambda t: {k: v[..., :2] for k, v in t.items()},
            r"makes \[3, 3, 3, 2\] of params/conv1_1",
        ),
    ],
)
def test_a_tensor_out_of_place_is_named_and_nothing_kept(
    change, message, monkeypatch, tmp_path, folder
):
    tiny.catalogue(monkeypatch, DATA)
    file = written(tmp_path / "x.npz", tiny.npz(**change(tiny.tensors())))
    with pytest.raises(UserError, match=rf"x\.npz.* {message}"):
        weights.import_weights("tiny", [file], allow_unlisted=True)
    assert not folder.exists()


def test_a_file_that_is_not_there():
    with pytest.raises(UserError, match=r"there is no file none\.pth"):
        weights.import_weights("vgg19", ["none.pth"])


def test_a_failed_import_leaves_the_one_before(monkeypatch, tmp_path):
    tiny.catalogue(monkeypatch, DATA)
    weights.import_weights("tiny", [written(tmp_path / "tiny.npz", DATA)])
    bad = written(tmp_path / "bad.npz", DATA[:-30])
    with pytest.raises(UserError, match=r"bad\.npz is damaged"):
        weights.import_weights("tiny", [bad], allow_unlisted=True)
    assert imported.load("pretrained:tiny").published


def test_without_a_file_it_says_what_to_bring_and_where_to(monkeypatch, folder):
    row = tiny.catalogue(monkeypatch, DATA)
    place = folder / "files" / "tiny" / "tiny.npz"
    with pytest.raises(UserError) as error:
        weights.import_weights("tiny")
    for part in (row.files[0].url, row.files[0].sha256, f"put it at {place}", "--download"):
        assert part in str(error.value)
    written(place, DATA)
    weights.import_weights("tiny")
    assert imported.load("pretrained:tiny").published


def test_without_a_folder_it_still_says_what_to_bring(monkeypatch):
    monkeypatch.delenv("SEGSYNTH_WEIGHTS")
    with pytest.raises(UserError) as error:
        weights.import_weights("vgg19")
    for part in (
        "bring https://download.pytorch.org/models/vgg19-dcbb9e9d.pth (574.7 MB, sha256 dcbb9e9d)",
        "put it at $SEGSYNTH_WEIGHTS/files/vgg19/vgg19-dcbb9e9d.pth",
        "is not set: set it, or name the folder with --output",
    ):
        assert part in str(error.value)
    for options in (dict(files=["x.pth"]), dict(fetch=True)):
        with pytest.raises(UserError, match=r"^SEGSYNTH_WEIGHTS, .* is not set"):
            weights.import_weights("vgg19", **options)


def test_every_missing_file_is_named_at_once(folder, tmp_path):
    written(folder / "files" / "lpips_vgg" / "vgg.pth", b"there")
    with pytest.raises(UserError) as error:
        weights.import_weights("lpips_vgg")
    assert "vgg16-397923af.pth (553.4 MB" in str(error.value)
    assert "/vgg.pth" not in str(error.value)
    with pytest.raises(UserError, match=r"vgg16-397923af\.pth and vgg\.pth: .*\(7\.3 kB, .*--file"):
        weights.import_weights("lpips_vgg", output=str(tmp_path / "else"))


@pytest.mark.parametrize("style", ["anime", "contour", "opensketch"])
def test_a_file_in_an_archive_is_named_with_it(style):
    with pytest.raises(UserError) as error:
        weights.import_weights(f"informative_drawings_{style}")
    assert f"bring {style}_style/netG_A_latest.pth in model.zip from https:" in str(error.value)
    place = f"files/informative_drawings_{style}/netG_A_latest.pth, or give it with --file; add "
    assert place + "--allow-unlisted" in str(error.value)
    assert "--download" not in str(error.value)  # no program can fetch it


def test_what_cannot_be_checked_is_not_fetched(monkeypatch, folder):
    with tiny.server(DATA) as (address, asked):
        row = tiny.catalogue(monkeypatch, DATA, f"{address}/tiny.npz")
        object.__setattr__(row.files[0], "sha256", "")
        with pytest.raises(UserError, match=r"the sha256 of tiny\.npz, so .*--allow-unl"):
            weights.import_weights("tiny", fetch=True)
        assert asked == [] and not folder.exists()
        weights.import_weights("tiny", fetch=True, allow_unlisted=True)
        assert asked == [None]
    assert not imported.load("pretrained:tiny").published


def test_it_fetches_what_is_not_there(monkeypatch, tmp_path):
    with tiny.server(DATA, breaks_after=500) as (address, asked):
        tiny.catalogue(monkeypatch, DATA, f"{address}/tiny.npz")
        with pytest.raises(UserError, match="broke off after 500 of"):
            weights.import_weights("tiny", output=str(tmp_path / "else"), fetch=True)
        weights.import_weights("tiny", output=str(tmp_path / "else"), fetch=True)
        assert asked == [None, "bytes=500-"]
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "else"))
    assert imported.load("pretrained:tiny").published


def test_lpips_is_made_of_two_files(monkeypatch, tmp_path, test_data):
    golden, keys = load("torchvision_features"), lpips_keys("squeeze")
    pairs = zip(
        golden["squeezenet1_1/keys"].tolist(), golden["squeezenet1_1/shapes"].tolist(), strict=True
    )
    shapes = {k: tuple(map(int, s.split(","))) for k, s in pairs}
    backbone = fill({k: s for k, s in shapes.items() if keys[k] is not None})
    network = written(tmp_path / "squeezenet.npz", tiny.npz(**backbone))
    heads = str(test_data / "weights_small" / "lpips_v0.1" / "squeeze.pth")
    with pytest.raises(UserError, match=r"is made of 2 files, .*squeezenet1_1-.*, squeeze\.pth; 1"):
        weights.import_weights("lpips_squeeze", [network])
    with pytest.raises(UserError, match=r"squeeze\.pth holds 'lin0.*, which another"):
        weights.import_weights("lpips_squeeze", [heads, heads], allow_unlisted=True)
    weights.import_weights("lpips_squeeze", [network, heads], allow_unlisted=True)
    found = imported.load("pretrained:lpips_squeeze")
    head = np.asarray(found.variables["params"]["head6"])
    np.testing.assert_array_equal(head, load("lpips")["squeeze/lin6.model.1.weight"].ravel())
    assert not found.published


def test_squeezenet_from_its_authors_file_to_the_photo(test_data):
    folder = test_data / "weights_small" / "squeezenet_v1.0"
    weights.import_weights("squeezenet1_0", [str(folder / "compressed_SqueezeNet.net")])
    found = imported.load("pretrained:squeezenet1_0")
    with np.load(folder / "golden_kodim23.npz") as golden:
        picture = golden["input_rgb_uint8"][None].astype(np.float32) / 127.5 - 1
        logits = jax.jit(found.module.apply)(found.variables, jax.numpy.asarray(picture))["logits"]
        assert worst(logits[0], golden["logits"]) < 1e-4
    assert found.published


def run(*flags):
    return subprocess.run(
        [sys.executable, ROOT / "launch" / "import_weights.py", *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )


def test_the_script_ends_with_one_line(tmp_path):
    listed = run("--list")
    assert listed.returncode == 0 and "lpips_alex: LPIPS v0.1" in listed.stdout
    for data in ("cityscapes", "coco", "ade20k"):
        file = f"\n  {data}_pretrained/latest_net_G.pth in checkpoints.tar.gz from https:"
        assert f"spade_{data}: " in listed.stdout and file in listed.stdout
    assert "\n  anime_style/netG_A_latest.pth in model.zip from https:" in listed.stdout
    for flags, message in [
        ((), "error: give --network, one of --list"),
        (("--network", "vgg19"), f"put it at {tmp_path}/weights/files/vgg19/vgg19-dcbb9e9d.pth"),
        (("--network", "vgg19", "--file", "x", "--download"), "either --file or --download"),
    ]:
        ended = run(*flags)
        assert ended.returncode == 2 and message in ended.stderr, ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
