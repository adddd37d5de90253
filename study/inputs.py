"""Inputs of trials: images, weights, from this machine or from records of the ledger."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.image_store import ImageStore
from revit.datasets.manifest import store_caveats
from revit.datasets.registry import label_test_set
from revit.errors import InputError
from revit.identity import InputDigests, function_digests, name_test_set_digest
from revit.models.weights import find_weights, weights_digest
from study.advice import with_advice
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX, NUM_ALL_TAG, NUM_TEST_TAG, NUM_TRAIN_TAG, num_test_name

SIZES = (NUM_TRAIN_TAG, NUM_ALL_TAG, NUM_TEST_TAG)
"""Tags with the numbers of images: trained on, of how many these are a fraction, tested on."""
UNKNOWN_SPLITS = "unknown"
MAX_CLASSES_SHOWN = 12
SPLIT_FIELDS = ("dataset", "val_fraction", "data_fraction", "subset_seed")
"""Config fields that determine these images."""


class FurtherTestSet(NamedTuple):
    """A further test set of a trial: digest of its image store, number of test images, folder (None as in `Images`)."""

    digest: str
    num_test: int
    folder: Path | None


class Images(NamedTuple):
    """The images of a trial.

    Attributes:
        digest: digest of the image store.
        splits: digest of the indices of its training, validation and test images; UNKNOWN_SPLITS for images that are
            neither on this machine nor recorded.
        has_val: whether there are validation images.
        num_train, num_all, num_test: as in SIZES.
        folder: folder of the image store; None if it is not on this machine.
        test_sets: further test sets, by label.
    """

    digest: str
    splits: str
    has_val: bool
    num_train: int
    num_all: int
    num_test: int
    folder: Path | None
    test_sets: Mapping[str, FurtherTestSet]

    @property
    def sizes(self) -> dict[str, int]:
        """Return the numbers of images, by SIZES, and `num_test_name` of each further test set."""
        own = {name: getattr(self, name) for name in SIZES}
        return own | {num_test_name(label): each.num_test for label, each in self.test_sets.items()}

    def digests(self, config: FineTuneConfig, weights: str | None) -> InputDigests:
        """Return the digests of a trial on these images.

        Args:
            weights: digest of its pretrained weights, None for none.
        """
        return InputDigests(
            data=self.digest,
            splits=self.splits,
            weights=weights,
            has_val=self.has_val,
            functions=function_digests(config),
            test_sets={label: each.digest for label, each in self.test_sets.items()},
        )


class Inputs:
    """Images or weights of trials, each looked up once.

    Args:
        open_images: opens the image store of a dataset.
        recorded: trials of the ledger, the newest first, that stand in for inputs not on this machine. Without any,
            all inputs have to be on it.
    """

    def __init__(self, open_images: Callable[[str], ImageStore], recorded: Sequence[TrialRecord]) -> None:
        self._recorded = [record for record in recorded if set(SIZES) <= record.tags.keys()]
        self._unreadable: dict[str, str] = {}  # by dataset: why
        self._images: dict[tuple[object, ...], Images] = {}  # by the config fields that decide them
        self._open = open_images
        self._digest = cache(weights_digest)
        self._store = cache(self._store_or_none)
        self.weights = cache(self._weights)

    def images(self, config: FineTuneConfig) -> Images:
        """Return a trial's images.

        Raises:
            InputError: they are missing or cannot be decoded, and no trial with them is recorded.
        """
        key = tuple(getattr(config, name) for name in (*SPLIT_FIELDS, "test_sets"))
        if key not in self._images:
            self._images[key] = self._find_images(config)
        return self._images[key]

    def _find_images(self, config: FineTuneConfig) -> Images:
        store = self._store(config.dataset)
        if store is None:
            return self._recorded_images(config)
        splits = store.split(config.val_fraction, config.data_fraction, config.subset_seed)
        manifest = store.manifest
        return Images(
            digest=manifest.digest,
            splits=splits.digest,
            has_val=bool(len(splits.val)),
            num_train=len(splits.train),
            num_all=splits.num_all,
            num_test=manifest.num_test,
            folder=store.folder,
            test_sets={label_test_set(name): self._test_set(name, config, store) for name in config.test_sets},
        )

    def caveats(self, dataset: str) -> list[str]:
        """Return the caveats of a dataset, a line each."""
        if (store := self._store(dataset)) is not None:
            return store_caveats(store.manifest)
        return [
            f"{self._unreadable[dataset]}; trials on dataset {dataset} are taken as the ledger recorded them, "
            "and figures that show its images are left out"
        ]

    def _store_or_none(self, dataset: str) -> ImageStore | None:
        try:
            return self._open(dataset)
        except InputError as error:
            if not any(self._has(record, dataset) for record in self._recorded):
                raise
            self._unreadable[dataset] = with_advice(error)
            return None

    @staticmethod
    def _has(record: TrialRecord, dataset: str) -> bool:
        """Return whether a recorded trial was trained or tested on a dataset."""
        tested = f"{DIGEST_PREFIX}{name_test_set_digest(label_test_set(dataset))}"
        return record.params["dataset"] == dataset or tested in record.tags

    def _recorded_images(self, config: FineTuneConfig) -> Images:
        """Return images as recorded; without a trial on just these, their numbers follow from another's."""
        flat = config.flat()
        alike = [record for record in self._recorded if record.params["dataset"] == config.dataset]
        same = (each for each in alike if all(each.params[name] == str(flat[name]) for name in SPLIT_FIELDS))
        if (record := next(same, None)) is not None:
            num_train, num_all, num_test = (int(record.tags[name]) for name in SIZES)
            splits = record.tags[f"{DIGEST_PREFIX}splits"]
        else:
            record, splits = alike[0], UNKNOWN_SPLITS
            num_all, num_test = (int(record.tags[name]) for name in SIZES[1:])
            num_train = max(1, round(config.data_fraction * num_all))
        return Images(
            digest=record.tags[f"{DIGEST_PREFIX}data"],
            splits=splits,
            has_val=config.val_fraction > 0,
            num_train=num_train,
            num_all=num_all,
            num_test=num_test,
            folder=None,
            test_sets={label_test_set(name): self._test_set(name, config, None) for name in config.test_sets},
        )

    def _test_set(self, name: str, config: FineTuneConfig, trained: ImageStore | None) -> FurtherTestSet:
        """Return a further test set.

        Args:
            trained: images that the model is trained on; None if they are not on this machine.

        Raises:
            InputError: it is missing or cannot be decoded, and no trial with it is recorded, or its classes are not
                those that the model is trained on.
        """
        store, label = self._store(name), label_test_set(name)
        if store is None:
            digest, count = f"{DIGEST_PREFIX}{name_test_set_digest(label)}", num_test_name(label)
            tags = next(each.tags for each in self._recorded if digest in each.tags)
            return FurtherTestSet(tags[digest], int(tags[count]), None)
        if trained is not None and store.manifest.class_names != trained.manifest.class_names:
            own, wanted = (_describe_classes(each.manifest.class_names) for each in (store, trained))
            raise InputError(f"test_sets has {name!r}: it has {own}; must be those of {config.dataset}, {wanted}")
        return FurtherTestSet(store.manifest.digest, store.manifest.num_test, store.folder)

    def _weights(self, model: ModelConfig) -> tuple[Path | None, str | None]:
        """Return the path of a model's weights, None if missing or not needed, with their digest."""
        try:
            path = find_weights(model)
            return path, self._digest(path)
        except InputError:
            wanted = {f"model.{name}": str(getattr(model, name)) for name in ("name", "weights", "pretrained")}
            for record in self._recorded:
                if wanted.items() <= record.params.items():
                    return None, record.tags[f"{DIGEST_PREFIX}weights"]
            raise


def _describe_classes(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_CLASSES_SHOWN])
    return f"{len(names)} classes: {shown}{', ...' if len(names) > MAX_CLASSES_SHOWN else ''}"
