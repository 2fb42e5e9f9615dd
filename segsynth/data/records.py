"""Prepared TFDS data as a source, without TensorFlow: our own records, and those of other builders.

Pictures come out of the records as the bytes of their files and are decoded as files are, so that a
record and the file that it was made from give the same array.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from segsynth.data import label_sets, modalities
from segsynth.data.label_sets import NONE, LabelSet
from segsynth.data.picture_files import Encoded
from segsynth.data.tfds_builders import encodings
from segsynth.data.tfds_builders.writing import HOME
from segsynth.errors import UserError

_INFO = "dataset_info.json"


@dataclasses.dataclass(frozen=True)
class Records:
    """A source of the examples of one split.

    Attributes:
        folder: of one version of one data set, with dataset_info.json.
        split: as TFDS knows it; "all" and parts such as "train[:10%]" too.
        features: modality -> feature of the data set. Without ``name``, examples are called after
            split and position.
        label_set: the table of label maps; None where there is none.
        ids: "published" or "train" (`segsynth.data.layouts.readers.Labels`).
        attribute_names: names of the columns of ``attributes``.

    Raises:
        UserError: records of another format, no such split or feature, a feature that cannot be the
            modality, train ids without a table.

    """

    folder: pathlib.Path
    split: str
    features: Mapping[str, str] = dataclasses.field(repr=False)
    label_set: LabelSet | None = None
    ids: str = "published"
    attribute_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.ids not in ("published", "train"):
            raise UserError(f"ids is {self.ids!r}, expected 'published' or 'train'.")
        if self.ids == "train" and self.label_set is None:
            raise UserError(
                f"{self.folder} has no label table, and train ids need one. Set label_set."
            )
        self._opened  # noqa: B018 (whatever is wrong shows before training)

    @property
    def provides(self) -> tuple[str, ...]:
        """Modality names of an example."""
        return tuple(self.features) if "name" in self.features else (*self.features, "name")

    @property
    def unlabelled(self) -> int:
        """The number of no label in ``labels`` and ``coarse``."""
        published = NONE if self.label_set is None else self.label_set.unlabelled
        return NONE if self.ids == "train" else published

    def __len__(self) -> int:
        return len(self._opened)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Returns example ``index`` at its own size: arrays as the modalities say, and ``name``.

        Raises:
            IndexError: ``index`` is out of range.
            UserError: a damaged record or picture.

        """
        position = range(len(self))[index]
        try:
            stored = self._opened[position]
        except (RuntimeError, IndexError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.folder}: record {position} of {self.split} cannot be read ({reason}). "
                "Write the records again."
            ) from error
        name = self._name(stored, position)
        return {key: self._value(key, stored, name) for key in self.provides}

    def __getstate__(self) -> dict[str, Any]:
        # Every worker process opens the files itself.
        return {key: value for key, value in self.__dict__.items() if key != "_opened"}

    @functools.cached_property
    def _opened(self) -> Any:
        import tensorflow_datasets as tfds

        builder = _builder(self.folder)
        split = _known_split(self.folder, self.split, builder.info.splits)
        known = dict(builder.info.features.items())
        for key, feature in self.features.items():
            _check_feature(self.folder, key, feature, known)
        pictures = [k for k, found in known.items() if isinstance(found, tfds.features.Image)]
        try:
            decoders = {name: tfds.decode.SkipDecoding() for name in pictures}
            return builder.as_data_source(split, decoders=decoders)
        except NotImplementedError:
            raise UserError(
                f"{self.folder} holds {builder.info.file_format.value}, expected array_record. "
                "Prepare the data set with file_format='array_record'."
            ) from None
        except (RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.folder}: the split {self.split!r} cannot be opened ({reason}). "
                "Copy or write it again."
            ) from error

    def _name(self, stored: Mapping[str, Any], position: int) -> str:
        if "name" not in self.features:
            return f"{self.split}_{position:08d}"
        name = stored[self.features["name"]]
        return name.decode() if isinstance(name, bytes) else str(name)

    def _value(self, key: str, stored: Mapping[str, Any], name: str) -> np.ndarray:
        if key == "name":
            return np.asarray(name, object)
        value, modality = stored[self.features[key]], modalities.get(key)
        if isinstance(value, Mapping):  # one feature for each attribute
            value = [value[attribute] for attribute in self.attribute_names]
        if not modality.spatial:
            return np.asarray(value, modality.dtype)
        what = f"{self.folder}: {key} of {name}"
        array = encodings.decode(key, Encoded(value, what))
        mapped = self.label_set is not None and key in ("labels", "coarse")
        return self._mapped(array, what) if mapped else array

    def _mapped(self, labels: np.ndarray, what: str) -> np.ndarray:
        wide = labels.astype(np.int32)  # NumPy finds the ids of bytes several times slower
        try:
            if self.ids == "train":
                return self.label_set.to_train_ids(wide)
            self.label_set.check(wide, "a label map")
            return labels
        except UserError as error:
            raise UserError(f"{what}: {error}") from None


def records(root: str | os.PathLike[str], split: str = "train", ids: str = "published") -> Records:
    """Opens what `segsynth.data.tfds_builders.writing.write` has written.

    Args:
        root: the output folder, if it holds one data set, or the folder of the records.
        split: of the layout, or "all".
        ids: of label maps, "published" or "train".

    Raises:
        UserError: no finished records or several, records that are not ours, what `Records`
            refuses.

    """
    folder = _newest(pathlib.Path(root), f"{HOME}/*")
    written = _builder(folder).info.metadata or {}
    if "provides" not in written:
        raise UserError(
            f"{folder} was not written by prepare_data.py; set data.source='tfds' and name the "
            "features in data.options.keys."
        )
    provides = written["provides"]
    parts = [provides[base]] if (base := split.split("[")[0]) in provides else [*provides.values()]
    shared = [key for key in parts[0] if all(key in part for part in parts)]
    label_set = written["label_set"]
    return Records(
        folder,
        split,
        {key: key for key in shared},
        label_sets.get(label_set) if label_set else None,
        ids,
        tuple(written["attribute_names"]),
    )


def prepared(
    root: str | os.PathLike[str],
    split: str = "train",
    ids: str = "published",
    *,
    name: str,
    keys: tuple[tuple[str, str], ...] = (("image", "image"),),
    label_set: str = "",
) -> Records:
    """Opens a data set that somebody has prepared with TFDS as array_record.

    Args:
        root: the ``data_dir`` of TFDS.
        split: "train", ...; "val" is also "validation".
        ids: of label maps, "published" or "train".
        name: data set and config, as "celeb_a_hq/256"; the newest version is taken.
        keys: pairs (modality, feature of the data set). Attributes may be one feature, or a group,
            whose columns are sorted by name.
        label_set: table of the label maps; "" = none.

    Raises:
        UserError: nothing prepared there, what `Records` refuses.

    """
    folder = _newest(pathlib.Path(root), name)
    for key, _ in keys:
        modalities.get(key)
    features = dict(keys)
    table = label_sets.get(label_set) if label_set else None
    names = _attribute_names(folder, features.get("attributes"))
    return Records(folder, split, features, table, ids, names)


def _builder(folder: pathlib.Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder} is no folder of TFDS ({reason}). Copy or prepare it again."
        ) from error


def _newest(root: pathlib.Path, name: str) -> pathlib.Path:
    """The folder of the newest version of the one data set that is meant."""
    if (root / _INFO).is_file():
        return root.absolute()
    found = sorted(path.parent for path in root.absolute().glob(f"{name}/*/{_INFO}"))
    versions = [folder for folder in found if _version(folder)]
    if not versions:
        raise UserError(
            f"{root} holds no finished {name}/<version>/{_INFO}. Check the path, or prepare it."
        )
    others = sorted({folder.parent.name for folder in versions})
    if len(others) > 1:
        raise UserError(
            f"{root} holds {' and '.join(others)}. Give the folder of one, as {versions[0]}."
        )
    return max(versions, key=_version)


def _version(folder: pathlib.Path) -> tuple[int, ...]:
    parts = folder.name.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else ()


def _attribute_names(folder: pathlib.Path, feature: str | None) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    group = dict(_builder(folder).info.features.items()).get(feature)
    # The order of a group is lost where it is stored.
    return tuple(sorted(group)) if isinstance(group, tfds.features.FeaturesDict) else ()


def _known_split(folder: pathlib.Path, split: str, splits: Mapping[str, Any]) -> str:
    base = split.split("[")[0]
    if base == "all" or base in splits:
        return split
    if base == "val" and "validation" in splits:
        return split.replace("val", "validation", 1)
    raise UserError(f"{folder} has no split {split!r}, expected one of {', '.join(splits)}, all.")


def _check_feature(
    folder: pathlib.Path, key: str, feature: str, features: Mapping[str, Any]
) -> None:
    import tensorflow_datasets as tfds

    if feature not in features:
        raise UserError(f"{folder} has no feature {feature!r}, expected one of {list(features)}.")
    found = features[feature]
    pictures = (tfds.features.Image, tfds.features.Text)
    if modalities.get(key).spatial and not isinstance(found, pictures):
        raise UserError(
            f"{folder}: the feature {feature!r} is a {type(found).__name__}, expected an Image "
            f"for {key}."
        )
