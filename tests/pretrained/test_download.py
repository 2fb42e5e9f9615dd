"""Downloads from a server of our own: resumed, broken off, wrong, absent."""

import hashlib

import numpy as np
import pytest
import tiny

from segsynth.errors import UserError
from segsynth.pretrained.download import download
from segsynth.pretrained.published import File

DATA = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "files" / "w.pth"


def part(target):
    return target.with_name("w.pth.part")


def test_a_whole_file_and_not_a_second_time(target):
    with tiny.server(DATA) as (address, asked):
        assert download(File(f"{address}/w.pth", SHA), target) == target
        assert target.read_bytes() == DATA and not part(target).exists()
        download(File(f"{address}/w.pth", SHA[:8]), target)
        assert asked == [None]


def test_what_broke_off_is_refused_and_continues_where_it_ended(target):
    with tiny.server(DATA, breaks_after=100_000) as (address, asked):
        file = File(f"{address}/w.pth", SHA)
        with pytest.raises(UserError, match="broke off after 100000 of 300000 bytes, the same"):
            download(file, target)
        assert not target.exists() and part(target).read_bytes() == DATA[:100_000]
        download(file, target)
        assert target.read_bytes() == DATA and asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_begins_anew(target):
    part(target).parent.mkdir()
    part(target).write_bytes(b"x" * 1000)
    with tiny.server(DATA, ranges=False) as (address, asked):
        download(File(f"{address}/w.pth", SHA), target)
        assert target.read_bytes() == DATA and asked == ["bytes=1000-"]


def test_a_part_that_is_whole_already(target):
    part(target).parent.mkdir()
    part(target).write_bytes(DATA)
    with tiny.server(DATA) as (address, asked):
        download(File(f"{address}/w.pth", SHA), target)
        assert target.read_bytes() == DATA and asked == ["bytes=300000-"]


def test_another_file_than_the_published_one_is_refused(target):
    part(target).parent.mkdir()
    part(target).write_bytes(b"x" * 1000)  # the beginning of something else
    with tiny.server(DATA) as (address, _):
        file = File(f"{address}/w.pth", SHA)
        with pytest.raises(UserError, match=f"has sha256 .*, expected {SHA[:16]}; the same"):
            download(file, target)
        assert not target.exists() and not part(target).exists()
        assert download(file, target).read_bytes() == DATA


def test_no_such_file_and_no_server(target):
    with tiny.server(DATA) as (address, _):
        with pytest.raises(UserError, match=r"cannot download .*/none \(Not Found\); bring"):
            download(File(f"{address}/none", SHA), target)
    with pytest.raises(UserError, match=r"refused.*; bring .*/w\.pth .*and put it at .*w\.pth"):
        download(File(f"{address}/w.pth", SHA), target)
    assert not target.exists()


def test_what_no_program_can_fetch(target):
    file = File("https://drive.example/folder", SHA, 5_000_000, member="w.pth")
    message = "bring w.pth from https://drive.example/folder \\(5.0 MB, sha256 "
    with pytest.raises(UserError, match=rf"w\.pth cannot be fetched by a program; {message}"):
        download(file, target)
    file = File("https://drive.example/folder", SHA, 5_000, member="net/w.pth", archive="all.zip")
    assert file.name == "w.pth"
    message = r"bring net/w\.pth in all\.zip from https://drive.example/folder \(5\.0 kB, sha256 "
    with pytest.raises(UserError, match=message):
        download(file, target)
