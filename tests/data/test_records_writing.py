"""Writing of records: what a killed, hindered or refused one leaves behind."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from segsynth.data import pictures
from segsynth.data.layouts.camvid import camvid
from segsynth.data.records import records
from segsynth.data.tfds_builders.writing import write
from segsynth.errors import UserError

COUNT = 40


@dataclasses.dataclass(frozen=True)
class Slow:
    """Examples that take their time, and a bad one."""

    length: int = COUNT
    bad: int = -1
    seconds: float = 0.0
    provides = ("image", "name")

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(self.seconds)
        if index == self.bad:
            raise UserError(f"picture {index} is damaged. Copy it again.")
        image = np.random.default_rng(index).integers(0, 256, (80, 80, 3), np.uint8)
        return {"image": image, "name": np.asarray(str(index), object)}


def test_a_bad_example_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError, match=r"^picture 7 is damaged. Copy it again.$"):
        write(tmp_path, "slow", {"train": Slow(bad=7)}, jobs=2)
    assert {path.name for path in (tmp_path / "segsynth/slow").iterdir()} == {".lock"}


_WRITE = """
import resource, sys
sys.path.insert(0, {tests!r})
from test_records_writing import Slow
from segsynth.data.tfds_builders.writing import write
from segsynth.errors import UserError
limit = {limit}
report = lambda: print("one", file=sys.stderr)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write({output!r}, "slow", {{"train": Slow(seconds={seconds})}}, advance=report)
except UserError as error:
    sys.exit(f"error: {{error}}")
"""


def _writing(output, seconds=0.0, limit=0):
    code = _WRITE.format(
        tests=str(pathlib.Path(__file__).parent), output=str(output), seconds=seconds, limit=limit
    )
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], **pipes, text=True, env=environment)


def test_a_killed_writing_leaves_nothing_that_looks_finished(tmp_path):
    home = tmp_path / "segsynth/slow"
    with _writing(tmp_path, seconds=0.2) as process:
        assert "one\n" in (process.stderr.readline(), process.stderr.readline())
        with pytest.raises(UserError, match=f"another process is writing to {home}"):
            write(tmp_path, "slow", {"train": Slow()})
        process.send_signal(signal.SIGKILL)
    assert [path.name[:11] for path in home.glob("[!.]*")] == ["incomplete."]
    with pytest.raises(UserError, match="holds no finished"):
        records(tmp_path)
    write(tmp_path, "slow", {"train": Slow()})
    assert [path.name for path in home.glob("[!.]*")] == ["1.0.0"]
    found = records(tmp_path)
    assert len(found) == COUNT
    for i in range(COUNT):
        np.testing.assert_array_equal(found[i]["image"], Slow()[i]["image"])
        assert found[i]["name"] == str(i)


def test_a_full_disk_is_one_line(tmp_path):
    with _writing(tmp_path, limit=100_000) as process:
        message = process.stderr.read().splitlines()[-1]
    assert process.returncode == 1
    assert message.startswith(f"error: cannot write records to {tmp_path}/segsynth/slow (File too")
    assert {path.name for path in (tmp_path / "segsynth/slow").iterdir()} == {".lock"}


def test_damaged_records_are_named(tmp_path):
    write(tmp_path, "slow", {"train": Slow()})
    (path,) = tmp_path.rglob("*.array_record-*")
    whole = path.read_bytes()
    path.write_bytes(whole[:9000] + bytes(9000) + whole[18000:])
    with pytest.raises(UserError, match=r"slow/1.0.0: record \d of train cannot be read") as caught:
        list(records(tmp_path)[i] for i in range(COUNT))
    assert "\n" not in str(caught.value)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"slow/1.0.0.* cannot be (opened|read) ") as caught:
        list(records(tmp_path)[i] for i in range(COUNT))
    assert "\n" not in str(caught.value)


def _camvid(root):
    """A tree of one frame; opens it."""
    for folder, channels in (("train", 3), ("trainannot", 1)):
        (root / folder).mkdir(parents=True)
        array = np.full((6, 8, channels), 3, np.uint8)
        pictures.write_png(root / folder / "x.png", array)
    return lambda **options: camvid(root, "train", **options)


def test_too_little_space_is_said_before(tmp_path, monkeypatch):
    tree = _camvid(tmp_path / "tree")()
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"has 0 MiB left, and the files have 0. Free space"):
        write(tmp_path / "out", "camvid", {"train": tree})


def test_writing_refuses_what_would_not_be_the_same(tmp_path):
    tree, out = _camvid(tmp_path / "tree"), tmp_path / "out"
    with pytest.raises(UserError, match="train has train ids, and records keep the published"):
        write(out, "camvid", {"train": tree(ids="train")})
    with pytest.raises(UserError, match="the split 'all' cannot be written beside others"):
        write(out, "camvid", {"train": tree(), "all": tree()})
    with pytest.raises(UserError, match=r"val has no examples. Leave it out"):
        write(out, "camvid", {"train": tree(), "val": Slow(0)})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"cannot write to {tmp_path}/file, expected a folder"):
        write(tmp_path / "file/out", "camvid", {"train": tree()})
    assert not out.exists()
    write(out, "camvid", {"train": tree()})
    with pytest.raises(UserError, match=r"camvid/1.0.0 holds records of camvid already"):
        write(out, "camvid", {"train": tree()})


def test_data_without_splits_are_all(tmp_path):
    write(tmp_path, "slow", {"all": Slow(3)})
    assert len(records(tmp_path, "all")) == 3
    with pytest.raises(UserError, match="no split 'train', expected one of whole, all"):
        records(tmp_path)
