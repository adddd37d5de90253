import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revit.datasets.image_store import ImageStore
from revit.datasets.splits import assign_classes, split, stratified_order
from revit.errors import InputError

class_sizes = st.lists(st.integers(1, 60), min_size=1, max_size=8)
seeds = st.integers(0, 2**32)


def labels_of(sizes: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=20))
def test_classes_are_assigned_by_the_rule_of_tijdeman(sizes: list[int]) -> None:
    """The oracle is the rule itself, for all classes at each position, in the same floating point."""
    share, taken = np.array(sizes) / sum(sizes), np.zeros(len(sizes), np.int64)
    slack = 1 / (2 * len(sizes) - 2)
    for position, label in enumerate(assign_classes(sizes)):
        due = (1 - slack + taken) / share
        behind = share * (position + 1) - taken >= slack - 1e-9
        assert label == np.argmin(np.where(behind, due, np.inf))
        taken[label] += 1
    assert taken.tolist() == sizes


@given(class_sizes, seeds)
def test_an_order_is_a_permutation(sizes: list[int], seed: int) -> None:
    labels = labels_of(sizes)
    assert sorted(stratified_order(labels, seed)) == list(range(len(labels)))


@given(class_sizes, seeds, st.floats(0, 1))
def test_every_prefix_is_stratified(sizes: list[int], seed: int, fraction: float) -> None:
    """The oracle is the definition: within one image of the share, and at least one image."""
    labels = labels_of(sizes)
    length = max(len(sizes), round(fraction * len(labels)))
    counts = np.bincount(labels[stratified_order(labels, seed)[:length]], minlength=len(sizes))
    assert counts.min() >= 1
    share = length * np.array(sizes) / len(labels)
    if (np.floor(share) >= 1).all():  # where no class had to be lifted to its one image
        assert (np.floor(share - 1e-9) <= counts).all()
        assert (counts <= np.ceil(share + 1e-9)).all()


@given(class_sizes, seeds, st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.25]))
def test_fractions_are_nested(sizes: list[int], seed: int, one: float, other: float, val: float) -> None:
    """Through `split`, as trials draw them; fractions that leave a class empty are refused there."""
    labels = labels_of(sizes)
    is_test = np.zeros(len(labels), dtype=bool)
    drawn = []
    for fraction in sorted((one, other)):
        try:
            drawn.append(split(labels, is_test, val_fraction=val, data_fraction=fraction, subset_seed=seed))
        except InputError:
            return
    smaller, larger = drawn
    assert set(smaller.train) <= set(larger.train)
    assert (smaller.val == larger.val).all()
    assert not set(smaller.val) & set(larger.train)


def split_of(store: ImageStore, val: float = 0.1, fraction: float = 1.0, seed: int = 0):
    return split(store.labels, store.is_test, val_fraction=val, data_fraction=fraction, subset_seed=seed)


def test_train_validation_and_test_are_disjoint_and_complete(digits: ImageStore) -> None:
    splits = split_of(digits)
    together = np.concatenate([splits.train, splits.val, splits.test])
    assert sorted(together) == list(range(len(digits)))
    assert len(splits.test) == 359
    assert len(splits.val) == round(0.1 * 1438)


def test_ten_percent_is_a_subset_of_twenty_five_percent_with_the_same_validation(digits: ImageStore) -> None:
    tenth, quarter = split_of(digits, fraction=0.1), split_of(digits, fraction=0.25)
    assert set(tenth.train) < set(quarter.train)
    assert (tenth.val == quarter.val).all()
    assert np.bincount(digits.labels[tenth.train]).min() >= 12


def test_without_validation_a_fraction_is_of_the_whole_training_split(digits: ImageStore) -> None:
    """As in a search, whose winner is trained on training and validation images."""
    searched, tested = split_of(digits, fraction=0.25), split_of(digits, val=0.0, fraction=0.25)
    assert (searched.num_all, tested.num_all) == (1438 - 144, 1438)
    assert (len(searched.train), len(tested.train)) == (round(0.25 * (1438 - 144)), round(0.25 * 1438))
    assert not set(searched.val) & set(searched.train)
    num_held_out = len(set(searched.val) & set(tested.train))
    assert 0.15 < num_held_out / len(searched.val) < 0.35, "those held out are drawn as any other"
    share = np.bincount(digits.labels[~digits.is_test]) / 4
    assert (abs(np.bincount(digits.labels[tested.train]) - share) <= 1).all(), "stratified"
    assert (searched.test == tested.test).all()
    assert set(split_of(digits, val=0.0, fraction=0.1).train) < set(tested.train), "and nested as before"


def test_another_subset_seed_draws_other_images_with_the_same_class_counts(digits: ImageStore) -> None:
    one, other = split_of(digits, fraction=0.1), split_of(digits, fraction=0.1, seed=1)
    assert set(one.train) != set(other.train)
    assert one.digest != other.digest
    assert split_of(digits, seed=0).digest == split_of(digits, seed=1).digest, "the whole is the whole"


@pytest.mark.parametrize(
    ("val", "fraction", "names"),
    [(0.1, 0.001, "data_fraction = 0.001"), (0.001, 1.0, "val_fraction = 0.001"), (0.999, 1.0, "val_fraction = 0.999")],
)
def test_a_fraction_that_leaves_a_class_empty_is_refused(
    digits: ImageStore, val: float, fraction: float, names: str
) -> None:
    with pytest.raises(InputError, match=names):
        split_of(digits, val=val, fraction=fraction)
