"""A report where it can be kept: a copy with the pictures and files that it links to beside it."""

import pathlib
import re
import shutil

_LINK = re.compile(r"\]\(([^)\s:]+)\)")


def keep(report: pathlib.Path, copy: pathlib.Path) -> None:
    """Copy a Markdown file to ``copy``, and what it links to by relative paths into a folder of the
    same name without suffix; links follow. The sweep may be deleted then.
    """
    folder = copy.with_suffix("")
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)

    def taken(link: re.Match) -> str:
        source = report.parent / link[1]
        name = "-".join(pathlib.PurePosixPath(link[1]).parts)
        shutil.copyfile(source, folder / name)
        return f"]({folder.name}/{name})"

    text = _LINK.sub(taken, report.read_text(encoding="utf-8"))
    part = copy.with_name(f".{copy.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(copy)
