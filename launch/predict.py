"""Use a trained run on a picture, or on every picture of a folder.

  python launch/predict.py --run runs/inpaint_c2f --image a.png --mask m.png --output out.png
  python launch/predict.py --run runs/inpaint_c2f --image photos --mask masks --output out

The flags after --run are the inputs of the run's system: for inpainting --image, --mask and
--category (background or foreground). Folders are joined by file name without suffix.
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags that every system shares."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--run", required=True, metavar="DIR", help="workdir of a training")
    flags.add_argument("--output", required=True, help="PNG file, or folder for folders")
    flags.add_argument("--phase", default="", help="the last one that was trained by default")
    flags.add_argument("--step", default="newest", help="a number, 'newest' or 'best'")
    flags.add_argument("--seed", type=int, default=0, help="another seed gives another answer")
    flags.add_argument(
        "--mask-polarity",
        choices=("white-hole", "black-hole"),
        default="white-hole",
        help="what is to be filled in a mask: its white or its black part",
    )
    return flags


def main() -> None:
    """Parse the flags - those of the inputs once the run is known - and predict."""
    shared = parser()
    known, rest = shared.parse_known_args()
    from segsynth.errors import UserError
    from segsynth.predict import load, predict_files

    synthesizer = load(known.run, phase=known.phase, step=known.step)
    of_system = cli.Flags(None, add_help=False)
    for name in synthesizer.inputs:
        of_system.add_argument(f"--{name.replace('_', '-')}", dest=name)
    inputs, unknown = of_system.parse_known_args(rest)
    if unknown:
        flags = ", ".join(f"--{name}" for name in synthesizer.inputs)
        raise UserError(f"unexpected argument '{unknown[0]}'; this run takes {flags}")
    given = {name: value for name, value in vars(inputs).items() if value is not None}
    predict_files(
        synthesizer, given, known.output, seed=known.seed, mask_polarity=known.mask_polarity
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
