"""Inputs of trials: images, weights, from this machine or from records of the ledger."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.image_store import ImageStore
from revit.datasets.manifest import store_caveats
from revit.errors import InputError
from revit.identity import InputDigests, function_digests
from revit.models.weights import find_weights, weights_digest
from study.advice import with_advice
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX, NUM_ALL_TAG, NUM_TEST_TAG, NUM_TRAIN_TAG

SIZES = (NUM_TRAIN_TAG, NUM_ALL_TAG, NUM_TEST_TAG)
"""Tags with the numbers of images: trained on, of how many these are a fraction, tested on."""
UNKNOWN_SPLITS = "unknown"
SPLIT_FIELDS = ("dataset", "val_fraction", "data_fraction", "subset_seed")
"""Config fields that determine these images."""


class Images(NamedTuple):
    """The images of a trial.

    Attributes:
        digest: digest of the image store.
        splits: digest of the indices of its training, validation and test images; UNKNOWN_SPLITS for images that are
            neither on this machine nor recorded.
        has_val: whether there are validation images.
        num_train, num_all, num_test: as in SIZES.
        folder: folder of the image store; None if it is not on this machine.
    """

    digest: str
    splits: str
    has_val: bool
    num_train: int
    num_all: int
    num_test: int
    folder: Path | None

    @property
    def sizes(self) -> dict[str, int]:
        """Return the numbers of images, by SIZES."""
        return {name: getattr(self, name) for name in SIZES}

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
        self._open = open_images
        self._digest = cache(weights_digest)
        self._store = cache(self._store_or_none)
        self.weights = cache(self._weights)

    def images(self, config: FineTuneConfig) -> Images:
        """Return a trial's images.

        Raises:
            InputError: they are missing or cannot be decoded, and no trial with them is recorded.
        """
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
            if not any(record.params["dataset"] == dataset for record in self._recorded):
                raise
            self._unreadable[dataset] = with_advice(error)
            return None

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
        )

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
