"""Opens picture files: what Pillow raises or warns about becomes a line that names the file."""

import contextlib
import dataclasses
import io
import os
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

from segsynth.errors import UserError

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError)

Path = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A picture file that is in memory.

    Attributes:
        data: what the file holds.
        name: what messages call it.

    """

    data: bytes = dataclasses.field(repr=False)
    name: str

    def __str__(self) -> str:
        return self.name


#: What can be read as a picture.
Picture = Path | Encoded


class _Silence:
    """Keeps Pillow's warnings back while any thread is inside; a too large picture is an error.

    `warnings.catch_warnings` swaps process-wide state and so breaks when threads leave in another
    order than they came: here the first one in swaps it and the last one out puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.close()


#: The one instance that all threads share.
silence = _Silence()


@contextlib.contextmanager
def opened(path: Picture) -> Iterator[Image.Image]:
    """Opens a picture; what Pillow raises here or in the block becomes a `UserError`."""
    held = isinstance(path, Encoded)
    if not held and os.path.isdir(path):
        raise UserError(f"{path} is a folder, expected a picture file.")
    try:
        with silence:
            picture = Image.open(io.BytesIO(path.data) if held else path, formats=_FORMATS)
        with picture:
            yield picture
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist, expected a picture file. Check the path."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS} pixels, Pillow's limit against "
            "decompression bombs. Make it smaller."
        ) from None
    except _DAMAGED as error:
        raise UserError(_diagnosis(path, error)) from error


def _diagnosis(path: Picture, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{path} may not be read (no permission). Change its access rights."
    if (len(path.data) if isinstance(path, Encoded) else os.path.getsize(path)) == 0:
        return f"{path} is empty (0 bytes), expected a picture. Copy it again or delete it."
    if isinstance(error, Image.UnidentifiedImageError):
        return (
            f"{path} is no picture whatever its name says, expected JPEG, PNG, WebP or BMP. "
            "Replace or delete it."
        )
    reason = " ".join(str(error).split())
    return f"{path} is truncated or damaged ({reason}). Copy it again or delete it."
