"""Two folders of pictures scored: figures, names, what they do not depend on, and mistakes."""

import dataclasses
import functools
import hashlib
import json
import shutil
import tempfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_cli import _refused, launch  # noqa: F401

from segsynth import folder_pictures, folder_scores, folders
from segsynth.data import pictures
from segsynth.engine import sharding
from segsynth.errors import UserError
from segsynth.folders import score_folders
from segsynth.metrics.frechet import frechet_distance
from segsynth.pretrained import loading
from segsynth.pretrained.catalog import CATALOG
from segsynth.pretrained.convert import Target
from segsynth.pretrained.inception import fid_pixels
from segsynth.pretrained.published import File
from segsynth.weights import import_weights

SIDE = 32
MARKED = {
    *("frechet[standin]", "kernel[standin]", "kernel[standin]/std", "psnr", "ssim"),
    *("perceptual[standin]", "paired_fooling[standin]", "unpaired_fooling[standin]"),
}


class Means(nn.Module):
    """In place of Inception: six random projections of a coarse picture, rectified."""

    @nn.compact
    def __call__(self, x, taps=()):
        x = nn.avg_pool(x, (32, 32), (32, 32)).reshape(len(x), -1)
        return {"avgpool": nn.relu(nn.Dense(6, name="out")(x))}


def small_features():
    """The catalogue's row of Inception with a stand-in that is quickly had."""
    shape = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    return dataclasses.replace(CATALOG["inception_fid"], standin=Means, inputs=(shape,))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The stand-ins of these tests: no weights imported, and small features."""
    monkeypatch.delenv("SEGSYNTH_WEIGHTS", raising=False)
    monkeypatch.setitem(CATALOG, "inception_fid", small_features())


def arrays(count=7, seed=0, side=SIDE):
    """Pictures with broad structure: blocks of random colour."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


def noisy(pictures_, seed=1):
    noise = np.random.default_rng(seed).normal(0, 20, pictures_.shape)
    return np.clip(pictures_ + noise, 0, 255).round().astype(np.uint8)


def write(folder, images, names=None):
    for name, image in zip(names or [f"{i:02}" for i in range(len(images))], images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pictures.write_png(folder / f"{name}.png", image)
    return folder


@pytest.fixture
def pair(tmp_path):
    real = arrays()
    return write(tmp_path / "real", real), write(tmp_path / "fake", noisy(real))


def scored(pair, tmp_path, **options):
    """The figures, in a folder of their own: those of other settings are not replaced."""
    output = tempfile.mkdtemp(dir=tmp_path, prefix="out")
    return score_folders(*pair, output=output, **options)["metrics"]


def features(images):
    network = loading.standin("inception_fid")
    return np.float64(network.apply(fid_pixels(jnp.asarray(images)))["avgpool"])


def test_crops_of_photographs_from_the_command_line(launch, tmp_path, test_data):  # noqa: F811
    photos = sorted((test_data / "photos_kodak").glob("*.png"))[:3]
    crops = np.stack(
        [pictures.read_image(p)[y : y + 64, 99:163] for p in photos for y in (0, 80, 200)]
    )
    real, fake = write(tmp_path / "real", crops), write(tmp_path / "fake", noisy(crops))
    (real / "README.md").write_text("no picture")
    code, lines = launch("evaluate", "--folders", real, fake, "--output", tmp_path / "out")
    assert code == 0, lines
    rows = {row.split("|")[1].strip(): row for row in lines if row.startswith("| ")}
    assert set(rows) == MARKED | {"figure"}
    assert "9 real, 9 fake" in rows["frechet[standin]"] and "9 pairs" in rows["psnr"]
    text = "\n".join(lines)
    assert "inception_fid has not been imported below SEGSYNTH_WEIGHTS" in text
    assert "299 x 299" in text and "n - 1" in text and "one subset of all" in text
    assert "no picture by its name, 1 in all, such as README.md" in text
    assert not {"fid", "kid", "lpips", "p_ids"} & {word for row in rows for word in row.split("[")}
    record = json.loads((tmp_path / "out" / "folders.json").read_text())
    assert set(record["metrics"]) == set(record["n"]) == MARKED
    assert record["networks"]["features"]["reference"] == "standin:inception_fid"
    assert not record["networks"]["lpips"]["published"]
    assert len(record["networks"]["lpips"]["variables"]) == 64
    assert record["folders"]["real"]["left_out"] == ["README.md"]


def test_figures_of_other_settings_are_not_replaced(launch, pair, tmp_path, monkeypatch):  # noqa: F811
    """By default, and where ``--output`` says; the same command is free to run again."""
    monkeypatch.chdir(tmp_path)
    for output, more in (("runs/folders/real-fake", ()), ("out", ("--output", "out"))):
        ask = functools.partial(launch, "evaluate", "--folders", *pair, "--metrics")
        file = tmp_path / output / "folders.json"
        assert ask("psnr", *more)[1][-1] == f"wrote {file}"
        write(pair[1], noisy(arrays(1), seed=2 if more else 3), ["00"])
        before = file.read_text()
        code, lines = ask("psnr", *more)
        assert code == 0 and lines[-1] == f"wrote {file}, in place of its former figures"
        kept = file.read_text()
        assert json.loads(kept)["metrics"] != json.loads(before)["metrics"]
        different = f"{file} holds figures of other settings (metrics: psnr -> psnr,ssim)"
        _refused(ask("psnr,ssim", *more), different, "give another --output")
        _refused(ask("psnr", "--resize", "16", *more), "(resize: 0 -> 16)")
        assert file.read_text() == kept
    other = write(tmp_path / "elsewhere" / "real", arrays(seed=5))
    outcome = launch("evaluate", "--folders", other, pair[1], "--metrics", "psnr")
    _refused(outcome, f"(real: {pair[0]} -> {other})")


def test_figures_of_other_weights_are_not_replaced(pair, tmp_path):
    asked = dict(metrics=["lpips"], output=tmp_path / "out")
    score_folders(*pair, **asked)
    with pytest.raises(UserError, match=r"\(lpips: standin:lpips_alex, .* -> standin:lpips_sq"):
        score_folders(*pair, **asked, lpips="standin:lpips_squeeze")


def test_a_folder_and_itself(pair, tmp_path):
    found = scored((pair[0], pair[0]), tmp_path)
    assert found["frechet[standin]"] < 1e-6 and found["kernel[standin]"] < 1e-6
    assert found["psnr"] == 100 and found["ssim"] == pytest.approx(1, abs=1e-6)
    assert found["perceptual[standin]"] == 0 and found["unpaired_fooling[standin]"] == 0.5
    # The control: other pictures are further away.
    assert scored(pair, tmp_path, metrics=["frechet"])["frechet[standin]"] > 1e-4


def test_names_and_their_order_change_nothing(pair, tmp_path):
    expected = scored(pair, tmp_path)
    real = arrays()
    names = [f"sub/{9 - i}" for i in range(len(real))]
    renamed = (
        write(tmp_path / "real2", real, names),
        write(tmp_path / "fake2", noisy(real), names),
    )
    assert scored(renamed, tmp_path) == pytest.approx(expected, rel=1e-6)
    # Names are partners only where asked for: sets of other names, one in another order.
    sets = {name: expected[name] for name in expected if name.startswith(("frechet", "kernel"))}
    mixed = scored((pair[0], renamed[1]), tmp_path, paired=False)
    assert set(mixed) == set(sets) and mixed == pytest.approx(sets, rel=1e-6)


def test_partners_are_those_of_the_same_name(pair, tmp_path):
    expected = scored(pair, tmp_path, metrics=["psnr"])["psnr"]
    names = [f"{i:02}" for i in (1, 2, 3, 4, 5, 6, 0)]
    turned = write(tmp_path / "turned", noisy(arrays()), names)
    assert scored((pair[0], turned), tmp_path, metrics=["psnr"])["psnr"] < expected - 5


@pytest.mark.parametrize("devices", [1, 8])
def test_devices_and_batches_change_nothing(pair, tmp_path, monkeypatch, devices):
    expected = scored(pair, tmp_path)
    monkeypatch.setattr(folders.sharding, "plan", functools.partial(sharding.plan, data=devices))
    for per_device in (1, 3):
        found = scored(pair, tmp_path, per_device=per_device)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_mixed_sizes_as_sets(tmp_path):
    small, large = arrays(3), arrays(4, seed=1, side=64)
    real = write(tmp_path / "real", [*small, *large])
    fake = write(tmp_path / "fake", [*large, *small[:2]])
    found = scored((real, fake), tmp_path, metrics=["frechet"])["frechet[standin]"]
    rows = np.concatenate([features(small), features(large)])
    moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (rows, rows[[3, 4, 5, 6, 0, 1]])]
    assert found == pytest.approx(frechet_distance(*moments[0], *moments[1]), rel=1e-3)


def test_the_network_compiles_once_whatever_the_sizes(tmp_path):
    sizes = (32, 48, 64)
    listed = folder_pictures.listed(
        write(tmp_path / "real", [arrays(1, side=side)[0] for side in sizes])
    )
    network = loading.standin("inception_fid", sharding.plan().replicated)
    scorer = folder_scores.Scorer(("frechet",), network, None, sharding.plan())
    folder_scores.scores(scorer, (listed, listed), paired=False)
    assert scorer.described._cache_size() == 1


def test_pictures_are_resampled_when_asked_for(tmp_path):
    real = write(tmp_path / "real", arrays(2, side=64))
    fake = write(tmp_path / "fake", [*arrays(1, side=48), *arrays(2, side=32)[1:]])
    record = score_folders(
        real, fake, metrics=["psnr", "frechet"], resize=40, output=tmp_path / "out"
    )
    assert record["metrics"]["psnr"] > 15
    assert "resampled to 40 x 40 px (bicubic, antialiased)" in record["protocol"][0]


def test_a_single_pair_has_figures_of_pairs(tmp_path):
    pair = [write(tmp_path / name, arrays(1)) for name in ("real", "fake")]
    assert scored(pair, tmp_path, metrics=["psnr", "ssim"])["psnr"] == 100
    only = r"real/00\.png is the only picture .* ask for --metrics psnr,ssim,lpips$"
    with pytest.raises(UserError, match=only):
        scored(pair, tmp_path)


def _without(pair):
    (pair[1] / "03.png").unlink()


def _of_other_size(pair):
    write(pair[1], arrays(1, side=48), ["03"])


def _text(pair):
    (pair[1] / "03.png").write_text("no picture")


def _truncated(pair):
    data = (pair[1] / "03.png").read_bytes()
    (pair[1] / "03.png").write_bytes(data[: len(data) // 2])


def _empty(pair):
    shutil.rmtree(pair[1])
    pair[1].mkdir()


def _twice(pair):
    shutil.copy(pair[1] / "03.png", pair[1] / "03.jpg")


def _tiny(pair):
    for folder in pair:
        write(folder, arrays(1, side=8), ["03"])


@pytest.mark.parametrize(
    ("spoil", "more", "parts"),
    [
        (_without, (), ("real/03.png has no partner 03.*", "holds 7", "6)", "--unpaired")),
        (_of_other_size, (), ("fake/03.png is 48 x 48", "real/03.png 32 x 32", "--resize N")),
        (_text, (), ("fake/03.png is no picture",)),
        (_truncated, ("--metrics", "psnr"), ("fake/03.png is truncated or damaged",)),
        (_empty, (), ("fake holds no pictures", "--folders")),
        (_twice, (), ("03.jpg", "03.png differ in their suffix only")),
        (_tiny, ("--metrics", "ssim"), ("real/03.png has a side of 8 px", "need 11")),
        (shutil.rmtree, (), ("is not a folder",)),
        (None, ("--metrics", "fdi"), ("no 'fdi'",)),
        (None, ("--unpaired", "--metrics", "psnr"), ("--metrics psnr compares partners",)),
        (None, ("--paired", "--unpaired"), ("not allowed with",)),
        (None, ("--resize", "-3"), ("--resize -3",)),
        (None, ("--features", "standin:vgg19"), ("--features standin:vgg19", "inception_fid")),
        (None, ("--features", "pretrained:inception_fid"), ("SEGSYNTH_WEIGHTS", "not set")),
        (None, ("--lpips", "lpips_alex"), ("'lpips_alex' names no network",)),
        (
            None,
            ("--lpips", "standin:lpips_vgg", "--metrics", "psnr,ssim"),
            ("--lpips standin:lpips_vgg goes with --metrics lpips", "asked for is psnr,ssim"),
        ),
        (None, ("--unpaired", "--lpips", "standin:lpips_vgg"), ("asked for is frechet,kid",)),
        (
            None,
            ("--features", "standin:inception_v3", "--metrics", "psnr"),
            ("--features standin:inception_v3 goes with --metrics frechet or kid or pids",),
        ),
        (None, ("--phase", "x"), ("--phase goes with --run and --config only",)),
        (None, ("--run", "x"), ("give --run",)),
        (None, ("stray",), ("unexpected argument 'stray'",)),
    ],
)
def test_mistakes_are_one_line(launch, pair, tmp_path, spoil, more, parts):  # noqa: F811
    if spoil is not None:
        spoil(pair[0] if spoil is shutil.rmtree else pair)
    outcome = launch("evaluate", "--folders", *pair, "--output", tmp_path / "out", *more)
    _refused(outcome, *parts)
    assert not (tmp_path / "out").exists()


def test_flags_of_folders_go_with_folders(launch, tmp_path):  # noqa: F811
    outcome = launch("evaluate", "--run", tmp_path, "--metrics", "psnr")
    _refused(outcome, "--metrics goes with --folders only")


@pytest.mark.parametrize("listed", [True, False])
def test_imported_weights_and_their_names(pair, tmp_path, monkeypatch, listed):
    """The published name where the file's sha256 is the catalogue's; else a mark; never by
    default a stand-in.
    """
    monkeypatch.setenv("SEGSYNTH_WEIGHTS", str(tmp_path / "weights"))
    rng = np.random.default_rng(0)
    file = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    with file.open("wb") as opened:
        np.savez(opened, kernel=np.float32(rng.normal(size=(243, 6))), bias=np.zeros(6, np.float32))
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    row = CATALOG["inception_fid"]
    files = (File("u", sha),) if listed else row.files
    keys = {name: Target(("params", "out", name)) for name in ("kernel", "bias")}
    row = dataclasses.replace(row, network=Means, files=files, keys=lambda: keys)
    monkeypatch.setitem(CATALOG, "inception_fid", row)
    arguments = dict(allow_unlisted=not listed, show=lambda _: None)
    import_weights("inception_fid", [str(file)], **arguments)
    metrics = ["frechet", "kid", "pids"]
    record = score_folders(*pair, metrics=metrics, output=tmp_path / "out")
    names = {"fid", "kid", "kid/std", "p_ids", "u_ids"}
    marked = {name.replace("standin", "unlisted") for name in MARKED - {"psnr", "ssim"}}
    assert set(record["metrics"]) == (names if listed else marked - {"perceptual[unlisted]"})
    network = json.loads((tmp_path / "out" / "folders.json").read_text())["networks"]["features"]
    assert network["sha256"] == [sha] and network["published"] == listed
    assert sha[:16] in record["protocol"][1]


@pytest.mark.slow
def test_with_the_stand_in_of_inception(pair, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.delenv("SEGSYNTH_WEIGHTS", raising=False)
    assert set(scored(pair, tmp_path)) == MARKED
    itself = scored((pair[0], pair[0]), tmp_path, metrics=["frechet"])
    assert itself["frechet[standin]"] < 1e-6
