"""Train a system: every phase of a config, in order. The same command resumes an interrupted run.

  python launch/train.py --config configs/inpaint_c2f.py           the demo; needs no download
  python launch/train.py --config configs/inpaint_c2f.py:smoke     a few steps of every phase
  python launch/train.py --config configs/inpaint_c2f.py:photos --config.data_root DIR

After the colon stands a preset of the config. Any of its values is set by --config.<key>=<value>,
for example --config.phases.lcg.train.steps=100 or --config.mesh.fsdp=2.
"""

import os
import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script; those of the config itself are read later."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--config", required=True, metavar="FILE[:PRESET]", help="a config file")
    flags.add_argument(
        "--workdir", default="", help="run directory; runs/<config>[-<preset>] by default"
    )
    flags.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes: those of Slurm, Kubernetes, MPI or TPUs find each other, "
        "others by JAX_COORDINATOR_ADDRESS=host:port, JAX_NUM_PROCESSES and JAX_PROCESS_ID",
    )
    return flags


def join_processes() -> None:
    """Join the other processes of a distributed training; before anything touches a device."""
    import jax

    from segsynth.errors import UserError

    try:
        # jax reads the coordinator's address from the environment by itself, the other two not.
        count, index = (
            int(value) if (value := os.environ.get(name)) else None
            for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
        )
        jax.distributed.initialize(num_processes=count, process_id=index)
    except ValueError as error:
        raise UserError(
            f"--distributed finds no cluster ({error}); set JAX_COORDINATOR_ADDRESS=host:port, "
            "JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        ) from error


def main() -> None:
    """Parse the flags, load the config, train."""
    known, overrides = parser().parse_known_args()
    from segsynth import config_files

    config, name = config_files.load(known.config, overrides)
    if known.distributed:
        join_processes()
    from segsynth.experiment import Stopped, train_and_evaluate

    try:
        train_and_evaluate(config, known.workdir or f"runs/{name}")
    except Stopped as stopped:
        print(stopped, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(cli.run(main))
