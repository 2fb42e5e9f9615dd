"""Reproduce a paper's table: train and evaluate every row, write report.md beside the paper's
figures. The same command continues a sweep that was interrupted.

  python launch/reproduce.py --paper crf_coarse --workdir runs/crf_table
  python launch/reproduce.py --paper mask_restoration --preset demo --workdir runs/masks --seeds 3

The rows are those of the preset "table" of configs/<paper>.py, which "demo" stands for, or of
"table_<preset>" with another --preset. --report FILE keeps a copy of the report with its pictures.
Several hosts that see one workdir take a --share each, as in
  srun --ntasks 4 python launch/reproduce.py --paper msagan --workdir DIR --share process
Any value of the config is set by --config.<key>=<value>.
"""

import pathlib
import shlex
import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script; those of the config itself are read later."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--paper", required=True, help="a config that has a table, by its name")
    flags.add_argument(
        "--preset", default="demo", help='"demo" by default; "paper" its own data and size'
    )
    flags.add_argument("--workdir", required=True, help="one for all hosts of the sweep")
    flags.add_argument("--seeds", type=int, default=1, help="runs of every row")
    flags.add_argument(
        "--share",
        default="0/1",
        metavar="INDEX/COUNT",
        help='this host\'s part of the rows; "process": by the numbers that srun, mpirun or '
        "JAX_PROCESS_ID and JAX_NUM_PROCESSES give processes",
    )
    flags.add_argument("--report", metavar="FILE.md", help="keep a copy of the report here, too")
    return flags


def main() -> None:
    """Parse the flags, load the config, run the sweep."""
    known, overrides = parser().parse_known_args()
    from segsynth import config_files
    from segsynth.errors import UserError

    if known.seeds < 1:
        raise UserError(f"--seeds is {known.seeds}; expected 1 or more")
    preset = "table" if known.preset == "demo" else f"table_{known.preset}"
    config, _ = config_files.load(f"configs/{known.paper}.py:{preset}", overrides)
    from segsynth.experiment import Stopped
    from segsynth.report_copies import keep
    from segsynth.reproduce import Share, reproduce

    command = "python " + shlex.join(sys.argv)
    share = Share.parse(known.share)
    try:
        report = reproduce(config, known.workdir, seeds=known.seeds, share=share, command=command)
        if known.report and share.index == 0:
            keep(report, pathlib.Path(known.report))
    except Stopped as stopped:
        print(stopped, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(cli.run(main))
