"""metrics.jsonl that survives kills, and TensorBoard files that TensorBoard can read."""

import json
import struct

import numpy as np
import pytest

from segsynth.engine import writers


def _write(path, steps, resume_step=0):
    writer = writers.JsonlWriter(path, resume_step)
    for step in steps:
        writer.write_scalars(step, {"train/loss": 1 / step})
    writer.write_images(1, {"grid": np.zeros((4, 4, 3), np.uint8)})
    writer.close()


def _steps(path):
    return [line["step"] for line in writers.read_jsonl(path)]


def test_one_json_object_a_line(tmp_path):
    _write(tmp_path / "m.jsonl", [1, 2])
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert lines == [{"step": 1, "train/loss": 1.0}, {"step": 2, "train/loss": 0.5}]


def test_lines_of_steps_that_run_again_are_dropped(tmp_path):
    path = tmp_path / "m.jsonl"
    _write(path, [2, 4, 6])
    _write(path, [6, 8], resume_step=4)
    assert _steps(path) == [2, 4, 6, 8]
    _write(path, [], resume_step=0)
    assert _steps(path) == []


def test_a_last_line_torn_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "m.jsonl"
    _write(path, [2, 4])
    with path.open("a") as file:
        file.write('{"step": 6, "train/lo')
    assert _steps(path) == [2, 4]
    _write(path, [6], resume_step=4)
    assert _steps(path) == [2, 4, 6]
    assert path.read_text().count("\n") == 3


def test_flushed_lines_survive_without_close(tmp_path):
    writer = writers.JsonlWriter(tmp_path / "m.jsonl")
    writer.write_scalars(1, {"a": 1.0})
    writer.flush()
    assert _steps(tmp_path / "m.jsonl") == [1]
    writer.close()


def test_no_file_has_no_lines(tmp_path):
    assert writers.read_jsonl(tmp_path / "none.jsonl") == []


def _events(folder):
    """Read the event files of a folder by their published framing: length, crc, record, crc."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            events.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 12 + length + 4
    return events


def test_tensorboard_reads_back_what_was_written(tmp_path):
    pytest.importorskip("tensorboardX")
    writer = writers.TensorBoardWriter(tmp_path / "events")
    writer.write_scalars(3, {"train/loss": 0.25})
    writer.write_scalars(5, {"train/loss": 0.125, "eval/hole_psnr": 20.0})
    writer.write_images(5, {"lcg/samples": np.zeros((6, 8, 3), np.uint8)})
    writer.flush()
    writer.close()
    values = [(e.step, v) for e in _events(tmp_path / "events") for v in e.summary.value]
    scalars = {(step, v.tag, v.simple_value) for step, v in values if not v.HasField("image")}
    assert scalars == {
        (3, "train/loss", 0.25),
        (5, "train/loss", 0.125),
        (5, "eval/hole_psnr", 20.0),
    }
    pictures = [
        (step, v.tag, v.image.height, v.image.width) for step, v in values if v.HasField("image")
    ]
    assert pictures == [(5, "lcg/samples", 6, 8)]


def test_several_writers_get_the_same(tmp_path):
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    both = writers.MultiWriter(*(writers.JsonlWriter(path) for path in paths))
    both.write_scalars(1, {"x": 2.0})
    both.write_images(1, {})
    both.flush()
    assert [_steps(path) for path in paths] == [[1], [1]]
    both.close()
    writers.MultiWriter().write_scalars(1, {"x": 2.0})
