"""Random numbers of a trial."""

from itertools import product

import numpy as np

from revit.random_streams import Stream, draw_torch_seed, make_rng


def test_every_purpose_seed_and_step_has_its_own_numbers() -> None:
    keys = list(product((0, 1), Stream, (0, 1)))
    drawn = [tuple(make_rng(*key).random(3)) for key in keys]
    assert len(set(drawn)) == len(keys) == len({draw_torch_seed(*key) for key in keys})
    assert drawn == [tuple(make_rng(*key).random(3)) for key in keys]


def test_the_keys_never_change() -> None:
    """They are part of what a finished trial drew."""
    assert [(each.name, each.value) for each in Stream] == [
        ("ORDER", 0), ("CROPS", 1), ("DROPOUT", 2), ("MIXING", 3), ("AUGMENTATION", 4), ("ERASING", 5)
    ]  # fmt: skip
    assert make_rng(7, Stream.CROPS, 3).random() == np.random.default_rng([7, 1, 3]).random()


def test_seeds_of_torch_fit_its_generator() -> None:
    assert all(0 <= draw_torch_seed(0, Stream.DROPOUT, step) < 2**63 for step in range(100))
