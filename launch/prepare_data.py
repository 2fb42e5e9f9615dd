"""Check a data set, write it as TFDS ArrayRecords, or draw a contact sheet of it.

  python launch/prepare_data.py --dataset cityscapes --root DIR                 every file is read
  python launch/prepare_data.py --dataset cityscapes --root DIR --output DIR2   ... and written
  python launch/prepare_data.py --dataset cityscapes --root DIR --preview out.png
  python launch/prepare_data.py --dataset streets --preview out.png             a world: no files
  python launch/prepare_data.py --list                                          what there is

All faults are listed, one a line, and exit code 2 says that there are some. Records are read with
data.source='records', on which a training gives the same batches as on the files.
"""

import ast
import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--dataset", default="", help="a layout or a world; --list names them")
    flags.add_argument("--root", default="", metavar="DIR", help="its folder")
    flags.add_argument("--output", default="", metavar="DIR", help="where to write records")
    flags.add_argument("--preview", default="", metavar="PNG", help="draw a contact sheet instead")
    flags.add_argument(
        "--splits", nargs="+", default=(), help="which; all by default, for --preview the first"
    )
    flags.add_argument(
        "--options",
        nargs="+",
        default=(),
        metavar="KEY=VALUE",
        help="of the layout or world, as half=right \"keys=('labels',)\"",
    )
    flags.add_argument("--jobs", type=int, default=0, help="threads; one for each core by default")
    flags.add_argument("--limit", type=int, default=6, help="examples of a contact sheet")
    flags.add_argument("--seed", type=int, default=0, help="another one draws other examples")
    flags.add_argument("--size", type=int, default=256, help="width of a sheet's column, in pixels")
    flags.add_argument("--list", action="store_true", help="list data sets, and end")
    return flags


def options(pairs: list[str] | tuple[str, ...]) -> dict[str, object]:
    """Return key=value pairs as a dict; values are Python literals, anything else is text."""
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            from segsynth.errors import UserError

            raise UserError(f"--options got '{pair}', expected KEY=VALUE; put spaces between pairs")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def main() -> None:
    """Parse the flags; list, draw, or check and write."""
    flags = parser().parse_args()
    given = options(flags.options)
    from segsynth.errors import UserError
    from segsynth.prepare import prepare, table
    from segsynth.preview import preview

    if flags.list:
        print(table())
        return
    if not flags.dataset:
        raise UserError("give --dataset; --list names those there are")
    if min(flags.limit, flags.size) < 1 or min(flags.seed, flags.jobs) < 0:
        raise UserError("expected --limit and --size of at least 1, --seed and --jobs of 0 or more")
    if not flags.preview:
        prepare(
            flags.dataset,
            flags.root,
            output=flags.output,
            splits=flags.splits,
            options=given,
            jobs=flags.jobs,
        )
        return
    if flags.output or len(flags.splits) > 1:
        raise UserError("--preview draws one split and writes no records; leave --output out")
    preview(
        flags.dataset,
        flags.preview,
        root=flags.root,
        split=flags.splits[0] if flags.splits else "",
        options=given,
        rows=flags.limit,
        seed=flags.seed,
        size=flags.size,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
