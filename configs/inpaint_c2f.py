"""Coarse-to-fine diffusion inpainting with latent categories guidance.

  python launch/train.py --config configs/inpaint_c2f.py
      The demo: procedural scenes, levels of 16, 32 and 64 px. 21 minutes on two busy CPU cores.
  python launch/train.py --config configs/inpaint_c2f.py:smoke
      Every phase for a few steps on tiny networks. About 2 minutes, nearly all of it compilation.
  python launch/train.py --config configs/inpaint_c2f.py:photos --config.data_root DIR
      Any folder of JPEG or PNG pictures (DIR/images/ or DIR itself, split by DIR/train.txt and
      DIR/val.txt if there are any) at 16, 32 and 64 px.
  python launch/train.py --config configs/inpaint_c2f.py:places2 --config.data_root DIR
      Places2 at 256 and 512 px: its pictures have no pixels to teach 1024. Also :ffhq and
      :celebahq, at 256, 512 and 1024 px. For accelerators; not run by us.
  python launch/reproduce.py --paper inpaint_c2f --preset demo --workdir runs/c2f_table
      The preset :table, the demo beside one net at its finest side that takes as many steps, and
      beside fills that need no network: twice the demo's time. With --preset smoke, :table_smoke,
      at the size of :smoke.

A phase's system.gt_steps (steps on the halved truth) and system.optimizer.decay_steps follow its
train.steps unless they are set themselves. What the demo reaches stands in docs/inpaint_c2f.md
beside the command that printed it.
"""

from ml_collections import ConfigDict

from segsynth.config_files import preset_of

_MAT = ("mat_large", "mat_small")


def get_config(preset: str = "") -> ConfigDict:
    """Return the config of a preset; "" is the demo."""
    presets = {
        "demo": _demo,
        "smoke": _smoke,
        "photos": _photos,
        "places2": lambda: _published("places2", levels=2),
        "ffhq": lambda: _published("ffhq", levels=3),
        "celebahq": lambda: _published("celebahq", levels=3),
        "table": lambda: _table(_demo()),
        "table_smoke": lambda: _table(_smoke()),
    }
    return preset_of(preset, presets)()


def _base(levels: dict, steps: dict[str, int], batch: dict[str, int]) -> ConfigDict:
    """Return the phases of a cascade: tables with level 1, then each level above the last."""
    config = ConfigDict()
    config.name = "inpaint_c2f"
    config.seed = 0
    config.data_root = ""
    config.tensorboard = False
    config.mesh = {"data": -1, "fsdp": 1}
    config.run = tuple(steps)
    config.system = {
        "name": "inpaint_c2f",
        "levels": levels,
        "lcg": {"tokens": 10, "dim": 1024, "drop": 0.1, "negative": "opposite"},
        "loss": {
            "noise_weighting": "v",
            "kappa": (1.0, 1.0, 1.0, 1.0),
            "known": 0.1,
            "l1": 0.1,
            "boundary": 0.1,
            "band": 1 / 64,
            "sigma": 2.0,
        },
        "combiner": "learned",
        "combiner_width": 64,
        "anchored": False,
        "augmentation": (0.5, 0.1),
        "coarse": "mix",
        "param": "v",
        "schedule": "cosine",
        "attn": "linear",
        "feature_map": "swish_shift",
        "dtype": "float32",
        "ema": 0.9999,
        "microbatches": 1,
        "optimizer": {
            "lr": 1e-4,
            "warmup": 5000,
            "weight_decay": 0.01,
            "clip": 1.0,
            "decay_steps": 0,
        },
    }
    config.data = {
        "source": "scenes",
        "root": config.get_oneway_ref("data_root"),
        "scale": (1.0, 1.0),
        "flip": 0.5,
        "mask": {"probs": (0.30, 0.20, 0.25, 0.25), "brush": _MAT},
        "eval_mask": {"probs": (0.0, 0.0, 1.0, 0.0), "brush": _MAT},
        "workers": 0,
        "on_error": "raise",
        "length": 1_000_000,
        "cache": False,
    }
    config.every = {"log": 50, "eval": 0, "checkpoint": 500, "diagnose": 0}
    config.eval = {
        "split": "val",
        "examples": 64,
        "batch": 16,
        "keep": 3,
        "best": "hole_psnr",
        "best_mode": "max",
    }
    config.phases = {
        name: _phase(name, levels["res"], count, batch[name]) for name, count in steps.items()
    }
    return config


def _phase(name: str, sides: tuple[int, ...], steps: int, batch: int) -> ConfigDict:
    """Return the sections of one phase; frozen networks are those of the levels below."""
    level = 1 if name == "lcg" else int(name[-1])
    frozen = {} if name == "lcg" else {"lcg": "phase:lcg"}
    for below in range(1, level):
        frozen |= {f"level{below}": f"phase:level{below}"}
        frozen |= {f"combiner{below}": f"phase:level{below}"} if below > 1 else {}
    phase = ConfigDict({"train": {"steps": steps, "global_batch": batch}})
    phase.system = {"train": name, "gt_steps": phase.train.get_ref("steps") // 5}
    phase.data = {"resolution": sides[level - 1]}
    phase.frozen = frozen
    phase.init_from = {"level1": "phase:lcg"} if name == "level1" else {}
    return phase


def _demo(steps: tuple[int, int, int, int] = (2600, 200, 600, 500)) -> ConfigDict:
    levels = {
        "res": (16, 32, 64),
        "patch": (1, 2, 4),
        "widths": ((32, 64), (32, 64), (32, 64)),
        "blocks": ((1, 1), (1, 1), (1, 1)),
        "attn_grids": ((8,), (8,), (8,)),
        "steps": (2, 1, 1),
        "cfg": (1.2, 1.1, 1.0),
        "gain": (1.0, 0.75, 0.5),
        # One or two steps are taken, so nearly all of training belongs to the noisiest times.
        "shift": (-5.0, -5.0, -5.0),
        "remat": (False, False, False),
        "up": (0.05, 0.1, 0.1),
        "t_start": (1.0, 1.0, 1.0),
    }
    phases = dict(zip(("lcg", "level1", "level2", "level3"), steps, strict=True))
    config = _base(levels, phases, dict.fromkeys(phases, 16))
    config.system.lcg.update({"tokens": 4, "dim": 64})
    config.data.update({"length": 4096, "cache": True})
    config.system.update({"combiner_width": 32, "anchored": True})
    config.system.ema = 0.99
    config.system.optimizer.update({"lr": 2e-3, "warmup": 50})
    for name in phases:
        phase = config.phases[name]
        phase.system.optimizer = {"decay_steps": phase.train.get_oneway_ref("steps")}
        # Pictures are cheap here, so lower levels train on halved ones, as the cascade hands them.
        phase.data.resolution = levels["res"][-1]
    config.phases.level1.system.optimizer.lr = 5e-4  # it goes on where lcg ended
    return config


def _smoke() -> ConfigDict:
    config = _demo()
    config.system.levels.update(
        {
            "res": (8, 16, 32),
            "patch": (1, 1, 2),
            "widths": ((16, 32), (16,), (16,)),
            "blocks": ((1, 1), (1,), (1,)),
            "attn_grids": ((4,), (), ()),
            "steps": (4, 3, 2),
        }
    )
    config.eval.update({"examples": 8, "batch": 8})
    config.every.update({"log": 2, "checkpoint": 4})
    for phase in config.phases.values():
        phase.train.update({"steps": 6, "global_batch": 8})
        phase.system.gt_steps = 2
        phase.data.resolution = config.system.levels.res[-1]
    return config


def _table(config: ConfigDict) -> ConfigDict:
    """Return a cascade and its rival of a single stage, with the paper's Table 1.

    The rival is the net of the last level alone: of the demo's size, at the demo's grid, with the
    learned tables, all the steps of the cascade's phases and as many in sampling.
    """
    levels, phases = config.system.levels, config.phases
    top = f"level{len(levels.res)}"
    single = ConfigDict(phases.lcg.to_dict())
    single.train.steps = sum(phase.train.steps for phase in phases.values())
    single.system.update({"gt_steps": 0, "optimizer": {"decay_steps": single.train.steps}})
    one = {key: value[-1:] for key, value in levels.items()}
    one |= {"steps": (sum(levels.steps),), "cfg": levels.cfg[:1], "gain": levels.gain[:1]}
    one["up"] = levels.up[:1]
    single.system.levels = one
    phases.single = single
    config.run = (*config.run, "single")
    config.table = {
        "paper": "inpaint_c2f",
        "data": "places2",
        "rows": (
            ("CoModGAN", None),
            ("DeepFill", None),
            ("MADF", None),
            ("PixelHacker", None),
            ("proposed (C2F)", top),
            ("single stage, as many steps", "single", "", "ours"),
            ("mean known colour", top, "mean_colour/", "ours"),
            ("nearest known pixel", top, "nearest_known/", "ours"),
        ),
        "columns": (
            ("", "hole PSNR, dB", "{key}hole_psnr", 1.0),
            ("", "hole L1", "{key}hole_l1", 1.0),
            ("", "band L1", "{key}band_l1", 1.0),
            ("", "seam ratio", "{key}seam_ratio", 1.0),
        ),
    }
    return config


def _photos() -> ConfigDict:
    config = _demo(steps=(600, 100, 200, 150))
    config.data.update({"source": "folder", "scale": (0.5, 1.0), "cache": False})
    config.eval.examples = -1
    return config


def _published(name: str, levels: int) -> ConfigDict:
    """Return the cascade at the published sizes, trained from scratch on a published data set."""
    settings = {
        "res": (256, 512, 1024),
        "patch": (2, 2, 4),
        "widths": ((128, 256, 512, 768), (64, 128, 256, 512, 512), (96, 192, 384, 512)),
        "blocks": ((2, 2, 2, 2), (1, 2, 2, 2, 2), (1, 2, 2, 2)),
        "attn_grids": ((64, 32, 16), (64, 32, 16), (64, 32)),
        "steps": (60, 40, 30),
        "cfg": (3.0, 2.0, 1.5),
        "gain": (1.0, 0.75, 0.5),
        "shift": (-2.77, -1.39, -1.39),
        "remat": (True, True, True),
        "up": (0.05, 0.1, 0.1),
        "t_start": (1.0, 1.0, 1.0),
    }
    settings = {key: value[:levels] for key, value in settings.items()}
    steps = {"lcg": 100_000, "level1": 200_000, "level2": 150_000, "level3": 100_000}
    batch = {"lcg": 512, "level1": 512, "level2": 256, "level3": 128}
    steps = {name: steps[name] for name in ("lcg", *(f"level{i}" for i in range(1, levels + 1)))}
    config = _base(settings, steps, batch)
    config.name = f"inpaint_c2f_{name}"
    config.system.dtype = "bfloat16"
    config.data.update({"source": "folder", "workers": 16, "on_error": "skip"})
    config.every.update({"log": 100, "eval": 10_000, "checkpoint": 5000, "diagnose": 1000})
    config.eval.update({"examples": 2048, "batch": 64})
    for phase in config.phases.values():
        phase.data.min_side = phase.data.resolution  # never learn from upsampled pictures
    return config
