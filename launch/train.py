"""Train a system: every phase of a config, in order. The same command resumes an interrupted run.

  python launch/train.py --config configs/inpaint_c2f.py           the demo; needs no download
  python launch/train.py --config configs/inpaint_c2f.py:smoke     a few steps of every phase
  python launch/train.py --config configs/inpaint_c2f.py:photos --config.data_root DIR

After the colon stands a preset of the config. Any of its values is set by --config.<key>=<value>,
for example --config.phases.lcg.train.steps=100 or --config.mesh.fsdp=2.
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script; those of the config itself are read later."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--config", required=True, metavar="FILE[:PRESET]", help="a config file")
    flags.add_argument(
        "--workdir", default="", help="run directory; runs/<config>[-<preset>] by default"
    )
    flags.add_distributed()
    return flags


def main() -> None:
    """Parse the flags, load the config, train."""
    known, overrides = parser().parse_known_args()
    from segsynth import config_files

    config, name = config_files.load(known.config, overrides)
    if known.distributed:
        cli.join_processes()
    from segsynth.experiment import Stopped, train_and_evaluate

    try:
        train_and_evaluate(config, known.workdir or f"runs/{name}")
    except Stopped as stopped:
        print(stopped, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(cli.run(main))
