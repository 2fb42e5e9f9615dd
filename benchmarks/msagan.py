"""Time of a step of face editing: with and without updates of the critic, and beside PyTorch.

    python benchmarks/msagan.py                          # the networks of the demo, 32 px
    python benchmarks/msagan.py --paper --batch 2        # those of the paper, 128 px
    python benchmarks/msagan.py --peer VENV/bin/python   # and the same in PyTorch

A step is ``n_critic`` updates of the critic and one of the editor. The peer is another interpreter
with torch, which runs benchmarks/msagan_torch.py: the same layers, losses and updates, whose
parameters are counted and must be as many as ours. Its ratio is its time over ours: above 1 we are
faster. Compilation stands apart. Other programs on the machine shift all times.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import time
from typing import Any

import jax
import numpy as np

from segsynth import systems

CRITICS = 3
DEMO = {
    "side": 32,
    "editor": {"width": 16, "downs": 2, "blocks": 2, "stem": 5, "upsample": "resize_conv"},
    "attr_inject": "both",
    "norm_trunk": "instance",
    "critic": 16,
}
PAPER = {
    "side": 128,
    "editor": {"width": 32, "downs": 3, "blocks": 4, "stem": 7, "upsample": "transpose"},
    "attr_inject": "input",
    "norm_trunk": "batch",
    "critic": 32,
}


def build(shape: dict[str, Any], critics: int, impl: str) -> Any:
    """Return the system."""
    own = {name: shape[name] for name in ("attr_inject", "norm_trunk")}
    section = {
        "name": "msagan",
        "resolution": shape["side"],
        "editor": {"structure": "E1D1", **shape["editor"], **own},
        "critic": {"width": shape["critic"], "conv_impl": impl},
        "n_critic": critics,
        "ema": 0.999,
    }
    return systems.build(section)


def batch(side: int, count: int) -> dict[str, np.ndarray]:
    """Return random faces of what a step reads."""
    random = np.random.default_rng(0)
    return {
        "image": random.integers(0, 256, (count, side, side, 3)).astype(np.uint8),
        "attributes": random.integers(0, 2, (count, 1)).astype(np.int32),
        "guide": random.integers(0, 256, (count, side, side, 1)).astype(np.uint8),
    }


def ours(shape: dict[str, Any], critics: int, flags: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of compiling a step and of steps, and how many parameters there are."""
    system = build(shape, critics, flags.conv_impl)
    state = jax.jit(system.init)(jax.random.key(0))
    counts = {name: _count(state.params[name]) for name in ("editor", "critic")}
    given = jax.device_put(batch(shape["side"], flags.batch * (critics + 1)))
    key = jax.random.key(1)
    began = time.perf_counter()
    step = jax.jit(system.train_step, donate_argnums=0).lower(state, {}, given, key).compile()
    compiled, times = time.perf_counter() - began, []
    for i in range(flags.warm_up + flags.steps):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, {}, given, key))
        if i >= flags.warm_up:
            times.append(time.perf_counter() - began)
    return {"compiled": compiled, "times": times, **counts}


def theirs(shape: dict[str, Any], critics: int, flags: argparse.Namespace) -> dict[str, Any]:
    """Return the same of the peer, which compiles nothing."""
    request = {**shape, "critics": critics, "batch": flags.batch}
    request |= {"steps": flags.steps, "warm_up": flags.warm_up}
    script = pathlib.Path(__file__).with_name("msagan_torch.py")
    command = [flags.peer, str(script), json.dumps(request)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _ratios(these: list[float], those: list[float]) -> str:
    median = statistics.median(these) / statistics.median(those)
    return f"{median:.2f} by medians, {min(these) / min(those):.2f} by least times"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="the paper's networks at 128 px")
    parser.add_argument("--batch", type=int, default=16, help="faces of one update")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before them")
    parser.add_argument("--peer", default="", help="an interpreter that has torch")
    parser.add_argument("--conv-impl", choices=("matmul", "conv"), default="matmul")
    flags = parser.parse_args()
    shape = PAPER if flags.paper else DEMO
    found = {critics: ours(shape, critics, flags) for critics in (0, CRITICS)}
    rows = [(f"segsynth, n_critic {k}", r["compiled"], r["times"]) for k, r in found.items()]
    if flags.peer:
        for critics in (0, CRITICS):
            peer = theirs(shape, critics, flags)
            for name in ("editor", "critic"):
                if peer[name] != found[critics][name]:
                    raise SystemExit(f"{name}: {peer[name]} parameters are not {found[critics]}")
            found[critics]["peer"] = peer["times"]
            rows.append((f"torch {peer['version']}, n_critic {critics}", 0.0, peer["times"]))
    device = jax.devices()[0].device_kind
    print(f"{shape['side']} px, batches of {flags.batch}, {device}, {flags.steps} steps\n")
    print("| | compilation s | step, median s | step, least s |\n|---|---:|---:|---:|")
    for name, compiled, times in rows:
        print(f"| {name} | {compiled:.1f} | {statistics.median(times):.3f} | {min(times):.3f} |")
    print(f"\nn_critic {CRITICS} over 0: {_ratios(found[CRITICS]['times'], found[0]['times'])}")
    for critics, row in found.items():
        if "peer" in row:
            print(f"torch over segsynth, n_critic {critics}: {_ratios(row['peer'], row['times'])}")


if __name__ == "__main__":
    main()
