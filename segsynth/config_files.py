"""Config files: ``path.py[:preset]`` and ``--config.<key>=<value>`` on the command line, by
ml_collections.
"""

import pathlib
import re
import runpy
from collections.abc import Sequence
from typing import Any

from segsynth.errors import UserError
from segsynth.settings import unknown


def load(path: str, overrides: Sequence[str] = ()) -> tuple[Any, str]:
    """Return the locked ConfigDict of ``path`` with ``overrides`` applied, and its name
    ``<file>[-<preset>]``.

    Raises :class:`UserError` for a missing file, an unknown preset, key (with the nearest one) or
    flag, and a value of another type.
    """
    from absl import flags
    from ml_collections import config_flags

    file, _, preset = path.partition(":")
    if not pathlib.Path(file).is_file():
        raise UserError(f"no config file {file}; the configs of this repository are configs/*.py")
    config = runpy.run_path(file)["get_config"](preset)
    values, argv = flags.FlagValues(), ["train", *_joined(overrides)]
    try:
        # Flags for the overridden keys are defined from sys_argv, and set by parsing.
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        rest = values(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(_one_line(error)) from error
    if rest[1:]:
        raise UserError(
            f"unexpected argument '{rest[1]}'; config values are set by --config.<key>=<value>"
        )
    return config, pathlib.Path(file).stem + (f"-{preset}" if preset else "")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ``--config.<key> value`` among the arguments, and the others."""
    joined = _joined(arguments)
    ours = [a for a in joined if a.startswith("--config.")]
    others = [a for a in joined if not a.startswith("--config.")]
    return ours, others


def preset_of(name: str, presets: dict[str, Any]) -> Any:
    """Return ``presets[name]``; "" is the demo.

    Raises :class:`UserError` for an unknown name.
    """
    if (name or "demo") not in presets:
        raise UserError(unknown(name, presets, "the list of presets"))
    return presets[name or "demo"]


def follow(section: Any) -> dict[str, Any]:
    """Return a section of a ConfigDict whose values follow those of ``section``."""
    return {key: section.get_oneway_ref(key) for key in section}


def copied(section: Any) -> Any:
    """Return a copy of a ConfigDict; what follows another value, or is open, does so in both."""
    items = section.items(preserve_field_references=True)
    kind = type(section)
    return kind({key: copied(v) if isinstance(v, kind) else v for key, v in items})


def _joined(overrides: Sequence[str]) -> list[str]:
    """Write ``--key value`` as ``--key=value``, the form that survives any order of parsing."""
    joined: list[str] = []
    for argument in overrides:
        if (
            joined
            and not argument.startswith("--")
            and joined[-1].startswith("--")
            and "=" not in joined[-1]
        ):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _one_line(error: Exception) -> str:
    """Return ml_collections' message without its quoting and line breaks."""
    text = str(error)
    near = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text)
    if near:
        return f"the config has no '{near[2]}'; did you mean '{near[1]}'?"
    if isinstance(error, AttributeError | KeyError):
        name = text.strip(" \"'")
        return f"the config has no '{name}'; its keys stand in the config file"
    return re.sub(r"\s+", " ", text).strip() or repr(error)
