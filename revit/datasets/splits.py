"""Splits of a dataset: every subset is a prefix of one stratified order.

A prefix of a prefix is a prefix, so fractions are nested: the 10 % are part of the 25 %.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revit.errors import InputError

Indices = npt.NDArray[np.int64]

TEST_FRACTION = 0.2
TEST_SEED = 0
VAL_SEED = 1


class Splits(NamedTuple):
    """Store indices of the images of one trial: train, validation, test, each (n,) int64.

    Attributes:
        num_all: training images before `data_fraction` was applied.
    """

    train: Indices
    val: Indices
    test: Indices
    num_all: int

    @property
    def digest(self) -> str:
        """Return the hash of the three index lists, in order."""
        joined = b"|".join(part.astype("<i8").tobytes() for part in (self.train, self.val, self.test))
        return hashlib.sha256(joined).hexdigest()[:16]


def stratified_order(labels: npt.NDArray[np.integer], seed: int) -> Indices:
    """Return an order of all indices, (n,), in which every prefix is stratified.

    Class k with share s_k has floor(s_k m) or ceil(s_k m) of the first m images. Rounding to the largest remainder
    would do the same, but could give a class fewer images in a larger prefix. This is the chairman assignment of
    Tijdeman (1980, Discrete Mathematics 32): at each position, of the classes behind their share, the one due first.
    One exception: the first image of each of the K classes is among the first K.

    Images of a class are shuffled with `seed`.
    """
    rng = np.random.default_rng(seed)
    classes, members = np.unique(labels, return_inverse=True)
    num_classes, num_images = len(classes), len(labels)
    queues = [rng.permutation(np.flatnonzero(members == k)) for k in range(num_classes)]
    if num_classes == 1:
        return queues[0].astype(np.int64)
    drawn = np.empty(num_images, dtype=np.int64)
    taken = [0] * num_classes
    for position, chosen in enumerate(assign_classes([len(queue) for queue in queues])):
        drawn[position] = queues[chosen][taken[chosen]]
        taken[chosen] += 1
    first_of_class = np.zeros(num_images, dtype=bool)
    first_of_class[[queue[0] for queue in queues]] = True
    is_first = first_of_class[drawn]
    return np.concatenate([drawn[is_first], drawn[~is_first]])


def assign_classes(sizes: list[int]) -> Iterator[int]:
    """Yield the class at each position, of two classes or more: the chairman assignment.

    A class is behind its share from the position at which it was due for its next image until it gets it. So each
    class waits for a position, then in a heap, and a position takes the time of a heap's step, with any number of
    classes.
    """
    num_images = sum(sizes)
    slack = 1 / (2 * len(sizes) - 2)
    waiting: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    behind: list[tuple[float, int, int]] = []

    def wait(label: int, taken: int, next_position: int) -> None:
        def is_behind(position: int) -> bool:
            return share * (position + 1) - taken >= slack - 1e-9

        share = sizes[label] / num_images
        position = max(next_position, int((slack + taken) / share) - 2)  # a little early: the condition decides
        while not is_behind(position):
            position += 1
        waiting[position].append((label, taken))

    for label in range(len(sizes)):
        wait(label, 0, 0)
    for position in range(num_images):
        for label, taken in waiting.pop(position, ()):
            heappush(behind, ((1 - slack + taken) / (sizes[label] / num_images), label, taken))
        _, label, taken = heappop(behind)
        wait(label, taken + 1, position + 1)
        yield label


def test_indices(labels: npt.NDArray[np.integer]) -> Indices:
    """Return the test indices of a dataset without a published split: a fixed stratified fifth."""
    order = stratified_order(labels, TEST_SEED)
    return np.sort(order[: round(TEST_FRACTION * len(labels))])


def split(
    labels: npt.NDArray[np.integer],
    is_test: npt.NDArray[np.bool_],
    *,
    val_fraction: float,
    data_fraction: float,
    subset_seed: int,
) -> Splits:
    """Return the splits of one trial.

    Validation is a stratified part of the training split, the same for every seed and fraction of a dataset. The
    fraction is then taken of the rest: without validation, of the whole training split, in an order of its own. So the
    subset of a search and the one that its winner is trained with overlap, and neither contains the other.

    Args:
        labels: (n,) class of each image.
        is_test: (n,) whether it is in the test split.
        val_fraction, data_fraction, subset_seed: as in FineTuneConfig.

    Raises:
        InputError: a fraction leaves a class without an image.
    """
    pool = np.flatnonzero(~is_test)
    if not len(pool):
        raise InputError("dataset: it has test images only, and can be named in test_sets alone")
    num_classes = len(np.unique(labels[pool]))
    held_out = _prefix(labels, pool, val_fraction, VAL_SEED)
    if 0 < len(held_out) < num_classes:
        raise InputError(
            f"val_fraction = {val_fraction}: leaves a class empty, as it holds {len(held_out)} of "
            f"{len(pool)} images for {num_classes} classes; at least {num_classes / len(pool):.2g}, or 0"
        )
    rest = np.setdiff1d(pool, held_out)
    if len(np.unique(labels[rest])) < num_classes:
        raise InputError(f"val_fraction = {val_fraction}: leaves a class without a training image")
    train = _prefix(labels, rest, data_fraction, subset_seed)
    if len(train) < num_classes:
        raise InputError(
            f"data_fraction = {data_fraction}: leaves a class empty, as it holds {len(train)} of "
            f"{len(rest)} images for {num_classes} classes; at least {num_classes / len(rest):.2g}"
        )
    return Splits(np.sort(train), np.sort(held_out), np.flatnonzero(is_test), len(rest))


def _prefix(labels: npt.NDArray[np.integer], pool: Indices, fraction: float, seed: int) -> Indices:
    if fraction in (0, 1):
        return pool[: len(pool) * int(fraction)]
    return pool[stratified_order(labels[pool], seed)[: round(fraction * len(pool))]]
