"""The README of a run: what it is, how well it does, how to use it."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax

import segsynth
from segsynth.data.modalities import MODALITIES
from segsynth.engine.run import Run

_CARD = """# {name}

Trained by segsynth {version} (Python {python}, jax {jax}) with seed {seed}. `config.json` beside
this file is the whole configuration.

| phase | steps | data | resolution | frozen networks |
|---|---|---|---|---|
{phases}

## Results

Metrics of each phase on its evaluation split, from `eval/<phase>.json`.

{results}

## Use

```
python launch/evaluate.py --run {run}
python launch/predict.py --run {run} {inputs} --output out.png
```
"""


def write(
    run: Run, results: Mapping[str, Any], tables: Mapping[str, str], inputs: Sequence[str]
) -> None:
    """Write ``README.md`` into the run.

    ``results`` are those of its phases, ``tables`` the same in Markdown, ``inputs`` the modalities
    that the last one predicts from.
    """
    text = _CARD.format(
        name=run.config["name"],
        version=segsynth.__version__,
        python=platform.python_version(),
        jax=jax.__version__,
        seed=run.config["seed"],
        phases="\n".join(_row(run, phase, results[phase]) for phase in run.phases),
        results="\n\n".join(f"### {phase}\n\n{tables[phase]}" for phase in run.phases),
        run=run.path.name,
        inputs=" ".join(f"--{name} {name}.png" for name in inputs if MODALITIES[name].spatial),
    )
    (run.path / "README.md").write_text(text)


def _row(run: Run, phase: str, result: Mapping[str, Any]) -> str:
    data = run.settings(phase)["data"]
    frozen = run.directory(phase).frozen()
    names = ", ".join(
        f"{k} ({v['reference']}, sha256 {v['sha256'][:12]})" for k, v in frozen.items()
    )
    size = data.get("resolution") or "whole"
    return f"| {phase} | {result['step']} | {data['source']} | {size} | {names or '-'} |"
