"""Import the weights of a published network, for ``pretrained:<network>`` in a config.

python launch/import_weights.py --list
python launch/import_weights.py --network vgg19 --file vgg19-dcbb9e9d.pth --output weights
python launch/import_weights.py --network lpips_alex --download
SEGSYNTH_WEIGHTS=weights python launch/train.py --config ...

Without --file the files are those in <output>/files/<network>/; --download fetches them there. A
network of several files takes --file several times, in the order of --list. docs/weights.md tells
which networks there are.
"""

import sys

from segsynth import cli


def parser() -> cli.Flags:
    """Return the flags of this script."""
    flags = cli.Flags(__doc__)
    flags.add_argument("--network", default="", help="its name in --list")
    flags.add_argument(
        "--file", action="append", default=[], help=".pth, .pt, .bin, .safetensors, .npz or .net"
    )
    flags.add_argument(
        "--output", default="", metavar="DIR", help="what SEGSYNTH_WEIGHTS names by default"
    )
    flags.add_argument("--download", action="store_true", help="fetch what is not there")
    flags.add_argument(
        "--allow-unlisted",
        action="store_true",
        help="also take files of another sha256 than the published ones",
    )
    flags.add_argument("--list", action="store_true", help="print the networks and their files")
    return flags


def main() -> None:
    """Parse the flags, import."""
    flags = parser().parse_args()
    from segsynth.errors import UserError

    if not flags.network and not flags.list:
        raise UserError("give --network, one of --list")
    if flags.download and flags.file:
        raise UserError("give either --file or --download")
    from segsynth import weights

    if flags.list:
        print(weights.table())
        return
    weights.import_weights(
        flags.network,
        flags.file,
        flags.output,
        fetch=flags.download,
        allow_unlisted=flags.allow_unlisted,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
