"""What all launch scripts share: logging, and how a user's mistake ends a program."""

import argparse
import dataclasses
import errno
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, get_args

from segsynth.errors import UserError


class Flags(argparse.ArgumentParser):
    """argparse, but a mistake is one line like every other."""

    def __init__(self, doc: str | None = None, **options: Any):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=doc, formatter_class=formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError`."""
        raise UserError(f"{message}; --help lists the flags")

    def add_options(self, options: Any) -> None:
        """Add a flag for each field of a dataclass, None unless given; a switch for a bool."""
        for field in dataclasses.fields(options):
            flag, text = f"--{field.name.replace('_', '-')}", field.metadata["help"]
            if field.type is bool:
                self.add_argument(flag, action="store_true", default=None, help=text)
                continue
            choices = get_args(field.type) or None
            kind = str if choices else field.type
            self.add_argument(flag, dest=field.name, type=kind, choices=choices, help=text)

    def add_distributed(self) -> None:
        """Add ``--distributed``, on which a script calls :func:`join_processes`."""
        self.add_argument(
            "--distributed",
            action="store_true",
            help="one of several processes: those of Slurm, Kubernetes, MPI or TPUs find each "
            "other, others by JAX_COORDINATOR_ADDRESS=host:port, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID",
        )


def join_processes() -> None:
    """Join the other processes of a distributed program; before anything touches a device."""
    import jax

    try:
        # jax reads the coordinator's address from the environment by itself, the other two not.
        count, index = (
            int(value) if (value := os.environ.get(name)) else None
            for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        )
        jax.distributed.initialize(num_processes=count, process_id=index)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"--distributed finds no cluster ({error}); set JAX_COORDINATOR_ADDRESS=host:port, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        ) from error


def run(main: Callable[[], None]) -> int:
    """Run ``main`` and return the exit code: 0, 2 after one line for a user's mistake, 130 after
    Ctrl-C.

    A training that was asked to stop, and has saved its state, ends with 0.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING, force=True)
    logging.getLogger("segsynth").setLevel(logging.INFO)
    # Orbax logs the traceback of each thread of a save that fails, and then raises it all the same.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    try:
        main()
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        return _fail(
            f"cannot write {error.filename or 'the output'} ({error.strerror}); free space or "
            "choose another place"
        )
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _unraisable(what: Any) -> None:
    """Leave out what the threads of a failed save still have to say: its error is raised anyway."""
    left_over = ("Event loop is closed", "Python is likely shutting down")
    if not any(text in str(what.exc_value) for text in left_over):
        sys.__unraisablehook__(what)
