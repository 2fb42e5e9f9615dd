"""Files of weights over HTTP: resumed where they broke off, checked by their sha256."""

import http.client
import os
import pathlib
import re
import urllib.error
import urllib.request

from tqdm import tqdm

from segsynth.errors import UserError
from segsynth.pretrained.published import File
from segsynth.pretrained.weight_files import sha256

_CHUNK = 2**20
_TIMEOUT = 60.0
_PARTIAL, _RANGE_REFUSED = 206, 416


def download(file: File, target: pathlib.Path) -> pathlib.Path:
    """Fetch a file to ``target``, unless it is there; return ``target``.

    What has come so far stays beside it as ``<target>.part``, and the same call continues there.

    Raises:
        UserError: no connection, no such file, a transfer that broke off, a file of another sha256,
            and a file that no program can fetch; it says where to put one brought by hand.

    """
    if target.exists():
        return target
    if file.member:
        raise UserError(f"{file.name} cannot be fetched by a program; {by_hand(file, target)}")
    part = target.with_name(f"{target.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _fetch(file, part)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"cannot download {file.url} ({reason}); {by_hand(file, target)}"
        ) from error
    found = sha256(part)
    if file.sha256 and not file.is_this(found):
        part.unlink()
        raise UserError(
            f"what came from {file.url} has sha256 {found[:16]}, expected {file.sha256[:16]}; the "
            f"same command tries again, or {by_hand(file, target)}"
        )
    os.replace(part, target)
    return target


def by_hand(file: File, target: pathlib.Path) -> str:
    """Say which file to bring, and where to put it."""
    number, unit = (file.size / 1e6, "MB") if file.size >= 1e6 else (file.size / 1e3, "kB")
    size = f"{number:.1f} {unit}, " if file.size else ""
    return f"bring {file.source} ({size}sha256 {file.sha256 or 'unknown'}) and put it at {target}"


def _fetch(file: File, part: pathlib.Path) -> None:
    """Append to ``part`` what is missing of it."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "segsynth"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(file.url, headers=headers), timeout=_TIMEOUT
        )
    except urllib.error.HTTPError as error:
        with error:
            if error.code == _RANGE_REFUSED and have:
                return  # there is nothing after what we have; the sha256 says whether it is whole
            raise
    with answer:
        have = _resumed_at(answer, have)
        missing = answer.length
        with (
            part.open("ab" if have else "wb") as out,
            tqdm(
                initial=have,
                total=None if missing is None else have + missing,
                desc=file.name,
                unit="B",
                unit_scale=True,
                disable=None,
            ) as bar,
        ):
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if missing is not None and size != have + missing:
        raise OSError(
            f"it broke off after {size} of {have + missing} bytes, the same command continues"
        )


def _resumed_at(answer: http.client.HTTPResponse, have: int) -> int:
    """Return how many bytes the answer continues after: ``have``, or 0 if it begins anew."""
    if answer.status != _PARTIAL:
        return 0
    start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if not start or int(start[1]) != have:
        raise OSError(f"the server continues elsewhere than at byte {have}")
    return have
