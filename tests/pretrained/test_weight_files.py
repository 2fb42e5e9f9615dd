"""Readers of published files: what PyTorch wrote, what is damaged, and what is a trap."""

import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from golden import HERE
from torch_files import SHAPES, tensor

from segsynth.errors import UserError
from segsynth.pretrained.weight_files import read_tensors, sha256

FORMATS = ("zip", "legacy", "script")


def golden(name):
    return HERE / "golden" / f"torch_{name}.pt"


@pytest.mark.parametrize("name", FORMATS)
def test_what_pytorch_wrote(name):
    found = read_tensors(golden(name))
    assert set(found) == set(SHAPES)
    for key, array in found.items():
        np.testing.assert_array_equal(array.astype(np.float32), tensor(key))
    types = {key: str(array.dtype) for key, array in found.items() if key.startswith("block.")}
    assert types == {
        **{"block.weight": "float32", "block.small": "float16", "block.brain16": "bfloat16"},
        **{"block.count": "int64", "block.tied": "float32"},
    }


@pytest.mark.parametrize("name", ["zip.pth", "legacy.safetensors", "script.npz"])
def test_a_file_is_what_its_bytes_say_not_its_name(name, tmp_path):
    renamed = tmp_path / name
    renamed.write_bytes(golden(name.split(".")[0]).read_bytes())
    assert set(read_tensors(renamed)) == set(SHAPES)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_off_anywhere_is_one_line(name, tmp_path):
    whole, cut = golden(name).read_bytes(), tmp_path / "cut.pth"
    for end in range(0, len(whole) - 1, 37):
        cut.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"cut\.pth") as error:
            read_tensors(cut)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_byte_is_no_crash(name, tmp_path):
    whole, bad = bytearray(golden(name).read_bytes()), tmp_path / "bad.pth"
    for place in range(0, len(whole), 23):
        flipped = whole.copy()
        flipped[place] ^= 0xFF
        bad.write_bytes(flipped)
        try:
            read_tensors(bad)
        except UserError as error:
            assert "\n" not in str(error)


class Trap:
    """A pickle that calls ``function(*args)`` when it is read."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def archive(path, data, storages=()):
    """Write what torch.save would, around a pickle of our own."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        for key, value in storages:
            file.writestr(f"archive/data/{key}", value)
    return path


def legacy(path, data):
    """The same before PyTorch 1.6."""
    head = [pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*head, data, pickle.dumps([], 2)]))
    return path


@pytest.mark.parametrize("wrap", [archive, legacy])
@pytest.mark.parametrize("function", ["posix.system", "builtins.eval", "subprocess.getoutput"])
def test_a_pickle_that_calls_something_is_refused_by_name(wrap, function, tmp_path):
    marker = tmp_path / "executed"
    touch = f"open({str(marker)!r}, 'w').close()" if "eval" in function else f"touch {marker}"
    data = f"c{function.replace('.', chr(10))}\n(V{touch}\ntR.".encode()
    path = wrap(tmp_path / "trap.pth", data)
    with pytest.raises(UserError, match=rf"trap\.pth is refused: .* asks for {function}") as error:
        read_tensors(path)
    assert "\n" not in str(error.value) and "state_dict" in str(error.value)
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists()  # so it was a trap


def float_tensor(size, stride, offset=0, count=4):
    """The pickle of one float32 tensor ``w`` on a storage of ``count`` numbers."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + f"I{count}\ntQI{offset}\n".encode()
        + f"({''.join(f'I{n}{chr(10)}' for n in size)}t".encode()
        + f"({''.join(f'I{n}{chr(10)}' for n in stride)}t".encode()
        + b"\x89NtRs."
    )


def test_a_tensor_stays_inside_its_storage(tmp_path):
    path, data = tmp_path / "w.pth", [("0", np.arange(4, dtype=np.float32).tobytes())]
    found = read_tensors(archive(path, float_tensor((2, 2), (1, 2)), data))
    np.testing.assert_array_equal(found["w"], [[0, 2], [1, 3]])
    for size, stride, offset in [
        ((5,), (1,), 0),
        ((2, 2), (2, 2), 0),
        ((4,), (1,), 1),
        ((2,), (-1,), 1),
        ((), (), 4),
        ((2,), (1,), -1),
    ]:
        with pytest.raises(UserError, match="past its storage of 4"):
            read_tensors(archive(path, float_tensor(size, stride, offset), data))
    with pytest.raises(UserError, match="storage 0 is not of 100 numbers"):
        read_tensors(archive(path, float_tensor((1,), (1,), count=100), data))


def test_a_tensor_is_no_storage(tmp_path):
    # A view with strides of 0 claims more numbers than there are; a view of it would read beyond.
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    whole = float_tensor((2000,), (0,), count=1)
    inner = whole[whole.index(rebuild) : -2]
    data = b"\x80\x02}X\x01\x00\x00\x00w" + rebuild + inner + b"I0\n(I2000\nt(I1\nt\x89NtRs."
    with pytest.raises(UserError, match="a tensor of what is no storage"):
        read_tensors(archive(tmp_path / "w.pth", data, [("0", b"\0\0\0\0")]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80\x02}K\x01" + b"\x85" * 400_000 + b"K\x02s.", "more or other TUPLE1"),
        (b"\x80\x02}r\xff\xff\xff\x0f.", "more or other LONG_BINPUT"),
        (b"\x80\x04\x8f(K\x01\x90.", "more or other ADDITEMS"),
    ],
)
def test_a_pickle_that_would_exhaust_the_reader(data, words, tmp_path):
    with pytest.raises(UserError, match=words):
        read_tensors(archive(tmp_path / "w.pth", data))


def test_a_list_that_doubles_has_an_end(tmp_path):
    node = [np.float32(0).item()]
    for _ in range(64):
        node = [node, node]
    with pytest.raises(UserError, match="holds more than weights need"):
        read_tensors(archive(tmp_path / "w.pth", pickle.dumps(node, 2)))


def test_a_storage_that_unpacks_to_more_is_not_unpacked(tmp_path):
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", float_tensor((4,), (1,)))
        file.writestr("archive/data/0", bytes(1_000_000))
    with pytest.raises(UserError, match="storage 0 is not of 4 numbers"):
        read_tensors(path)


def test_two_tensors_of_one_name(tmp_path):
    one = float_tensor((4,), (1,))
    tensor_of = one[one.index(b"ctorch._utils") : -2]
    key = b"X\x03\x00\x00\x00a.b"
    nested = b"X\x01\x00\x00\x00a}X\x01\x00\x00\x00b" + tensor_of + b"s"
    data = b"\x80\x02}" + key + tensor_of + b"s" + nested + b"s."
    with pytest.raises(UserError, match=r"two tensors 'a\.b'"):
        read_tensors(archive(tmp_path / "w.pth", data, [("0", bytes(16))]))


def test_a_damaged_compressed_npz_is_one_line(tmp_path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, a=np.arange(1000.0))
    whole = bytearray(path.read_bytes())
    for place in range(60, len(whole), 41):
        bad = whole.copy()
        bad[place] ^= 0xFF
        path.write_bytes(bad)
        try:
            read_tensors(path)
        except UserError as error:
            assert "\n" not in str(error)


def test_a_pickle_changes_nothing_of_what_it_is_given(tmp_path):
    # BUILD with a pair of states sets attributes of any object that has no __setstate__.
    change = b"N}X\x05\x00\x00\x00valueI9\ns\x86b"
    data = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + change + b"."
    with pytest.raises(UserError, match="sets 'value'"):
        read_tensors(archive(tmp_path / "w.pth", data))


def test_no_tensors_no_weights(tmp_path):
    path = archive(tmp_path / "empty.pth", pickle.dumps({"epoch": 3}, 2))
    with pytest.raises(UserError, match=r"empty\.pth holds no tensors but dict"):
        read_tensors(path)


def safetensors(path, entries, data):
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def test_safetensors(tmp_path):
    brain = np.array([1.0, -2.5], np.float32).view(np.uint32) >> 16
    data = np.arange(6, dtype=np.float32).tobytes() + brain.astype(np.uint16).tobytes()
    entries = {
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [2], "data_offsets": [24, 28]},
    }
    path = tmp_path / "x.safetensors"
    found = read_tensors(safetensors(path, entries, data))
    np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(found["b"].astype(np.float32), [1.0, -2.5])
    with pytest.raises(UserError, match="'b' needs 4 bytes at 24 to 28 of 27"):
        read_tensors(safetensors(path, entries, data[:-1]))
    entries["b"]["dtype"] = "F8_E4M3"
    with pytest.raises(UserError, match="'b' has the type F8_E4M3"):
        read_tensors(safetensors(path, entries, data))
    path.write_bytes(struct.pack("<Q", 10**9) + b'{"')
    with pytest.raises(UserError, match="a header of 1000000000 bytes in a file of 10"):
        read_tensors(path)


def test_npz_without_pickles(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, w=np.arange(3))
    np.testing.assert_array_equal(read_tensors(path)["w"], [0, 1, 2])
    np.savez(path, w=np.array([Trap(print, "executed")], dtype=object))
    with pytest.raises(UserError, match=r"x\.npz is damaged .*allow_pickle"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><title>Google Drive", "is a web page"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1", "is the pointer of a file in Git LFS"),
        (pickle.dumps({"w": 1}, 2), "is a pickle, but none that torch.save wrote"),
        (b"GIF89a..........", "is no file of weights"),
    ],
)
def test_another_kind_of_file_is_named(data, message, tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"w\.pth {message}"):
        read_tensors(path)


def test_a_zip_file_without_tensors_and_no_file_at_all(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        file.writestr("a.png", b"")
    with pytest.raises(UserError, match=r"photos\.zip is a zip file without tensors"):
        read_tensors(tmp_path / "photos.zip")
    with pytest.raises(UserError, match=r"cannot read .*none\.pth \(No such file"):
        read_tensors(tmp_path / "none.pth")
    with pytest.raises(UserError, match="cannot read"):
        read_tensors(tmp_path)


def test_published_heads_and_squeezenet(test_data):
    folder = test_data / "weights_small"
    with np.load(folder / "lpips_v0.1" / "lpips_v0.1.npz") as expected:
        for net in ("alex", "vgg", "squeeze"):
            for key, value in read_tensors(folder / "lpips_v0.1" / f"{net}.pth").items():
                np.testing.assert_array_equal(value, expected[f"{net}/{key}"])
    found = read_tensors(folder / "squeezenet_v1.0" / "compressed_SqueezeNet.net")
    with np.load(folder / "squeezenet_v1.0" / "squeezenet_v1.0.npz") as expected:
        assert set(found) == set(expected.files)
        for key, value in found.items():
            np.testing.assert_array_equal(value, expected[key])


def test_a_compressed_squeezenet_of_another_length_is_refused(test_data, tmp_path):
    whole = (test_data / "weights_small/squeezenet_v1.0/compressed_SqueezeNet.net").read_bytes()
    path = tmp_path / "x.net"
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"x\.net is damaged"):
        read_tensors(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(UserError, match="more in it than SqueezeNet"):
        read_tensors(path)


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf")
