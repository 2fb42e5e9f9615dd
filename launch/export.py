r"""Write a system as one file that needs jax alone: a StableHLO program with its weights.

  python launch/export.py --run runs/line_drawing --size 512x384 --output drawing.stablehlo
  python launch/export.py --config configs/published_drawing.py:contour --size 512x384 \
      --output contour.stablehlo

Then, without segsynth, for a uint8 picture of 384 rows and 512 columns:

  program = jax.export.deserialize(bytearray(open("drawing.stablehlo", "rb").read()))
  program.call({"image": picture[None]}, jax.numpy.int32(0))["drawing"][0]

The program answers for pictures of that size on CPUs, NVIDIA GPUs and TPUs.
"""

import pathlib
import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--run", default="", metavar="DIR", help="workdir of a training")
    flags.add_argument(
        "--config", default="", metavar="FILE[:PRESET]", help="config of what needs no training"
    )
    flags.add_argument("--phase", default="", help="the last one that was trained by default")
    flags.add_argument("--step", default="newest", help="a number, 'newest' or 'best'")
    flags.add_argument("--size", required=True, metavar="WIDTHxHEIGHT", help="of pictures, px")
    flags.add_argument("--batch", type=int, default=1, help="pictures at once")
    flags.add_argument("--output", required=True, metavar="FILE")
    return flags


def main() -> None:
    """Parse the flags, load the run, write the file."""
    known, rest = parser().parse_known_args()
    from segsynth import config_files, portable
    from segsynth.errors import UserError
    from segsynth.predict import from_config, load

    if bool(known.run) == bool(known.config):
        raise UserError("give --run, the workdir of a training, or --config of what needs none")
    overrides, unknown = config_files.split_overrides(rest) if known.config else ([], rest)
    if unknown:
        raise UserError(f"unexpected argument '{unknown[0]}'; --help lists them")
    width, _, height = known.size.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise UserError(f"--size is {known.size!r}; expected WIDTHxHEIGHT in px, as 512x384")
    if known.batch < 1:
        raise UserError(f"--batch is {known.batch}; expected 1 or more")
    if known.run:
        synthesizer = load(known.run, phase=known.phase, step=known.step)
    else:
        synthesizer = from_config(config_files.load(known.config, overrides)[0])
    program = portable.export(synthesizer, int(height), int(width), batch=known.batch)
    file = pathlib.Path(known.output)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(program)
    part.replace(file)
    print(f"wrote {file}, {len(program) / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(cli.run(main))
