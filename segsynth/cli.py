"""What all launch scripts share: logging, and how a user's mistake ends a program."""

import errno
import logging
import sys
from collections.abc import Callable


def run(main: Callable[[], None]) -> int:
    """Run ``main`` and return the exit code: 0, 2 after one line for a user's mistake, 130 after
    Ctrl-C.

    A training that was asked to stop, and has saved its state, ends with 0.
    """
    from segsynth.errors import UserError

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING, force=True)
    logging.getLogger("segsynth").setLevel(logging.INFO)
    logging.getLogger("absl").setLevel(logging.ERROR)
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
