"""Every way in which a pickle can reach a foreign name or object is refused, and nothing runs."""

import copyreg
import pickle

import pytest
import test_weight_files

from segsynth.errors import UserError
from segsynth.pretrained.weight_files import read_tensors

WRAPS = [test_weight_files.archive, test_weight_files.legacy]
CODE = 240  # of the extension registry's range for private use


class Executed:
    """Leaves a file behind whichever way a pickle makes or fills it."""

    def __new__(cls, *args, **options):
        for path in (*args, *options.values()):
            touch(path)
        return super().__new__(cls)

    def __setstate__(self, state):
        touch(state)


class Old:
    """The same for INST and OBJ, which call a class with arguments."""

    def __init__(self, path):
        touch(path)


def touch(path):
    open(path, "w").close()


def text(value):
    """The opcode that pushes a string."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def name(value):
    """GLOBAL of something in this file."""
    return f"c{__name__}\n{value}\n".encode()


def stack_name(value):
    """STACK_GLOBAL of the same."""
    return text(__name__) + text(value) + b"\x93"


#: Opcode -> a pickle that touches the marker, and what is asked for first.
PROGRAMS = {
    "GLOBAL and REDUCE": (lambda m: name("touch") + text(m) + b"\x85R.", "touch"),
    "STACK_GLOBAL": (lambda m: stack_name("touch") + text(m) + b"\x85R.", "touch"),
    "INST": (lambda m: b"(" + text(m) + f"i{__name__}\nOld\n.".encode(), "Old"),
    "OBJ": (lambda m: b"(" + name("Old") + text(m) + b"o.", "Old"),
    "NEWOBJ": (lambda m: name("Executed") + text(m) + b"\x85\x81.", "Executed"),
    "NEWOBJ_EX": (
        lambda m: name("Executed") + b")}" + text("path") + text(m) + b"s\x92.",
        "Executed",
    ),
    "BUILD": (lambda m: name("Executed") + b")\x81" + text(m) + b"b.", "Executed"),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("opcode", PROGRAMS)
def test_a_foreign_name_is_refused(opcode, wrap, tmp_path):
    program, asked = PROGRAMS[opcode]
    marker = tmp_path / "executed"
    data = b"\x80\x04" + program(str(marker))
    path = wrap(tmp_path / "trap.pth", data)
    words = rf"trap\.pth is refused: .* {__name__}\.{asked}, which"
    with pytest.raises(UserError, match=words) as error:
        read_tensors(path)
    assert "\n" not in str(error.value) and not marker.exists()
    pickle.loads(data)
    assert marker.exists()  # so it was a trap


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(("opcode", "size"), [("EXT1", 1), ("EXT2", 2), ("EXT4", 4)])
def test_an_extension_code_is_refused(opcode, size, wrap, tmp_path):
    copyreg.add_extension(__name__, "touch", CODE)
    try:
        marker = tmp_path / "executed"
        start = {"EXT1": b"\x82", "EXT2": b"\x83", "EXT4": b"\x84"}[opcode]
        data = b"\x80\x02" + start + CODE.to_bytes(size, "little") + text(str(marker)) + b"\x85R."
        path = wrap(tmp_path / "trap.pth", data)
        with pytest.raises(UserError, match=rf"trap\.pth .*pickle has more or other {opcode} than"):
            read_tensors(path)
        assert not marker.exists()
        pickle.loads(data)  # it was a trap; and from now on Python remembers what the code names
        marker.unlink()
        with pytest.raises(UserError, match=rf"more or other {opcode}"):
            read_tensors(path)
        assert not marker.exists()
    finally:
        copyreg.remove_extension(__name__, "touch", CODE)


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("opcode", ["PERSID", "BINPERSID"])
def test_a_persistent_name_is_no_way_in(opcode, wrap, tmp_path):
    marker = tmp_path / "executed"
    foreign = f"('storage', {__name__}.touch, {str(marker)!r}, 'cpu', 1)"
    data = {
        "PERSID": f"P{foreign}\n.".encode(),
        "BINPERSID": text(foreign) + b"Q.",
    }[opcode]
    with pytest.raises(UserError, match=r"trap\.pth is damaged .*: ") as error:
        read_tensors(wrap(tmp_path / "trap.pth", b"\x80\x02" + data))
    assert "\n" not in str(error.value) and not marker.exists()


@pytest.mark.parametrize("kind", ["posix", "__builtins__", "../../etc", "", "UntypedStorage"])
def test_a_storage_of_another_kind_is_named(kind, tmp_path):
    data = b"(" + text("storage") + text(kind) + text("0") + text("cpu") + b"I1\ntQ."
    path = test_weight_files.archive(tmp_path / "w.pth", b"\x80\x02" + data, [("0", bytes(4))])
    with pytest.raises(UserError, match=rf"w\.pth is damaged .*no storage: .*'{kind}'"):
        read_tensors(path)


@pytest.mark.parametrize(
    "inside",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n)\x81",  # NEWOBJ of what is allowed only to be called
        b"ctorch\nSize\n)}\x92",  # NEWOBJ_EX
        b"ctorch\nSize\n}" + text("value") + text("x") + b"sb",  # BUILD of a function
    ],
)
def test_an_allowed_name_is_only_called(inside, tmp_path):
    path = test_weight_files.archive(tmp_path / "w.pth", b"\x80\x04" + inside + b".")
    with pytest.raises(UserError, match=r"w\.pth is damaged") as error:
        read_tensors(path)
    assert "\n" not in str(error.value)
