r"""Use a trained run, or a method without training, on a picture or on every picture of a folder.

  python launch/predict.py --run runs/inpaint_c2f --image a.png --mask m.png --output out.png
  python launch/predict.py --run runs/inpaint_c2f --image photos --mask masks --output out
  python launch/predict.py --config configs/crf_coarse.py --image a.png --labels b.png \
      --output c.png
  python launch/predict.py --config configs/published_drawing.py:contour --image a.png \
      --output c.png --svg
  python launch/predict.py --run runs/msagan --image face.png --attribute Mouth_Slightly_Open \
      --value 1 --strength 0.5 --output edited.png

The flags after --run or --config are the inputs of the system: for inpainting --image, --mask and
--category (background or foreground), for the CRF --image and --labels, for edits of faces --image,
--attribute, --value (0 or 1), --strength (0 to 1) and, to align a face, --landmarks, a text file of
"x y" a line or a folder of them (docs/msagan.md); and its options: line drawings have --size,
--tile, --statistics, --film, --ink, --invert, --alpha, --svg and --shortest (docs/line_drawing.md),
restored label maps --clamp-known and --confidence. Folders are joined by file name without suffix;
the same command continues a folder that is half done. Values of a config are set by
--config.<key>=<value>.
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags that every system shares."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--run", default="", metavar="DIR", help="workdir of a training")
    flags.add_argument(
        "--config", default="", metavar="FILE[:PRESET]", help="config of what needs no training"
    )
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
    flags.add_argument(
        "--outputs",
        default="",
        metavar="NAME,...",
        help="what to write of the answer, or 'all'; several into a folder each. By default its "
        "first part: of restored maps, labels of labels, image and confidence",
    )
    flags.add_argument(
        "--palette", action="store_true", help="write label maps with their colours as palette"
    )
    flags.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="skip: go on in a folder past what cannot be answered for, and name it at the end",
    )
    flags.add_distributed()
    return flags


def main() -> None:
    """Parse the flags - those of the inputs once the system is known - and predict."""
    known, rest = parser().parse_known_args()
    from segsynth import config_files
    from segsynth.errors import UserError
    from segsynth.predict import from_config, load
    from segsynth.predict_files import predict_files

    if bool(known.run) == bool(known.config):
        raise UserError("give --run, the workdir of a training, or --config of what needs none")
    if known.distributed:
        cli.join_processes()
    if known.run:
        synthesizer = load(known.run, phase=known.phase, step=known.step)
    else:
        overrides, rest = config_files.split_overrides(rest)
        synthesizer = from_config(config_files.load(known.config, overrides)[0])
    of_system = cli.Flags(add_help=False)
    for name, flags in synthesizer.flags.items():
        of_system.add_argument(*flags, dest=name)
    names = list(synthesizer.inputs)
    if (options := synthesizer.options) is not None:
        of_system.add_options(options)
        names += vars(options)
    found, unknown = of_system.parse_known_args(rest)
    if unknown:
        flags = ", ".join(f"--{name}" for name in names)
        raise UserError(f"unexpected argument '{unknown[0]}'; this system takes {flags}")
    given = {name: value for name, value in vars(found).items() if value is not None}
    inputs = {name: given.pop(name) for name in synthesizer.inputs if name in given}
    predict_files(
        synthesizer.adjusted(**given),
        inputs,
        known.output,
        outputs=[name for name in known.outputs.split(",") if name],
        palette=known.palette,
        on_error=known.on_error,
        seed=known.seed,
        mask_polarity=known.mask_polarity,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
