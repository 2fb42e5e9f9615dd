r"""Compare finished drawings: differences, epochs, a blind study, flicker.

  python launch/drawings.py diff --base drawings_a --ours drawings_b --output differences
      What the second method adds (red) and leaves out (blue), picture by picture.
  python launch/drawings.py strip --run runs/line_drawing --image a.png --output strip.png
      One photograph by all checkpoints that the run has kept (--config.eval.keep=20 in training).
  python launch/drawings.py kit --photos photos --base drawings_a --ours drawings_b --output kit
      A blind two-choice study: kit/index.html to hand out, kit.key.json to keep.
  python launch/drawings.py votes --key kit.key.json votes-1.csv votes-2.csv
      The share of votes for the second method, with its 95 % interval.
  python launch/drawings.py flicker --film frames --drawings drawings
      How much drawings of a film change where the film stands still.

Drawings are made by launch/predict.py; folders join by file name without suffix.
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    commands = flags.add_subparsers(dest="command", required=True)
    for name in _FLAGS:
        _FLAGS[name](commands.add_parser(name))
    return flags


def _pair(flags: cli.Flags) -> None:
    flags.add_argument("--base", required=True, metavar="DIR", help="drawings of one method")
    flags.add_argument("--ours", required=True, metavar="DIR", help="drawings of the other one")
    flags.add_argument("--output", required=True, metavar="DIR")


def _strip(flags: cli.Flags) -> None:
    flags.add_argument("--run", required=True, metavar="DIR", help="workdir of a training")
    flags.add_argument("--image", required=True, metavar="FILE", help="the photograph")
    flags.add_argument("--output", required=True, metavar="FILE", help="PNG file")
    flags.add_argument("--phase", default="", help="the last one that was trained by default")
    flags.add_argument("--steps", type=int, nargs="+", default=[], help="all kept ones by default")


def _kit(flags: cli.Flags) -> None:
    _pair(flags)
    flags.add_argument("--photos", required=True, metavar="DIR")
    flags.add_argument("--count", type=int, default=0, help="questions; 0 = every picture")
    flags.add_argument("--seed", type=int, default=0, help="of order, sides and choice")
    flags.add_argument("--question", default="", help="the paper's by default")


def _votes(flags: cli.Flags) -> None:
    flags.add_argument("--key", required=True, metavar="FILE", help="KIT.key.json")
    flags.add_argument("votes", nargs="+", metavar="CSV", help="files that raters saved")


def _film(flags: cli.Flags) -> None:
    flags.add_argument("--film", required=True, metavar="DIR", help="frames, ordered by name")
    flags.add_argument("--drawings", required=True, metavar="DIR", help="of the same names")


_FLAGS = {"diff": _pair, "strip": _strip, "kit": _kit, "votes": _votes, "flicker": _film}


def main() -> None:
    """Parse the flags, do what the command says."""
    given = vars(parser().parse_args())
    from segsynth.drawings import choices, side_by_side
    from segsynth.drawings.flicker import flicker_of_film

    command = given.pop("command")
    if command == "diff":
        side_by_side.diff_maps(**given)
    elif command == "strip":
        side_by_side.strip_of_run(**{**given, "steps": tuple(given["steps"])})
    elif command == "kit":
        choices.make_kit(**{**given, "question": given["question"] or choices.QUESTION})
    elif command == "flicker":
        found = flicker_of_film(**given)
        print(
            f"{100 * found.change:.2f} % of grey and {100 * found.flips:.2f} % of ink changes "
            f"where the film stands still ({100 * found.still:.1f} % of its pixels, {found.pairs} "
            "pairs of frames)"
        )
    else:
        found = choices.tally(**given)
        print(
            f"ours: {found.share:.3f} of {found.votes} votes, 95 % interval {found.low:.3f} to "
            f"{found.high:.3f} ({found.raters} raters, {found.questions} questions)"
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
