"""Writers of scalars and images, with the method names of ``clu.metric_writers`` (whose modules
need TensorFlow).
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from segsynth.errors import UserError


@runtime_checkable
class Writer(Protocol):
    """Something that takes scalars and images by step."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write plain numbers."""
        ...

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Write uint8 pictures, height x width x 3."""
        ...

    def flush(self) -> None:
        """Hand everything to the operating system."""
        ...

    def close(self) -> None:
        """Flush and release files."""
        ...


class JsonlWriter:
    """One JSON object a line: ``{"step": 10, "train/loss": 0.5}``. Images are not its business."""

    def __init__(self, path: pathlib.Path, resume_step: int = 0):
        """Append to ``path``; lines after ``resume_step`` belong to steps that will run again and
        are dropped.
        """
        kept = [line for line in read_jsonl(path) if line["step"] <= resume_step]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        temporary.replace(path)
        self._file = path.open("a")

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Append one line."""
        self._file.write(
            json.dumps({"step": step, **{k: float(v) for k, v in scalars.items()}}) + "\n"
        )

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Ignore images: they lie beside this file as PNG."""
        del step, images

    def flush(self) -> None:
        """Hand the lines to the operating system, so that a kill loses none."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


class TensorBoardWriter:
    """TensorBoard event files through tensorboardX (extra ``tensorboard``)."""

    def __init__(self, directory: pathlib.Path):
        try:
            import tensorboardX
        except ImportError as error:
            raise UserError(
                "tensorboard=True needs tensorboardX, which is not installed; "
                "run: pip install 'segsynth[tensorboard]'"
            ) from error
        self._writer = tensorboardX.SummaryWriter(str(directory))

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write one point on each curve."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, float(value), step)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Write pictures."""
        for name, value in images.items():
            self._writer.add_image(name, value, step, dataformats="HWC")

    def flush(self) -> None:
        """Flush the event file."""
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class MultiWriter:
    """Writes to several writers."""

    def __init__(self, *writers: Writer):
        self._writers = writers

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write scalars to all."""
        for writer in self._writers:
            writer.write_scalars(step, scalars)

    def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Write images to all."""
        for writer in self._writers:
            writer.write_images(step, images)

    def flush(self) -> None:
        """Flush all."""
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Close all."""
        for writer in self._writers:
            writer.close()


def read_jsonl(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics file; a last line torn by a kill is left out."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
