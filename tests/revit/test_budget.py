"""Budgets compiled to optimizer steps."""

import numpy as np
import pytest

from revit.budget import compile_budget, count_images, evenly_spaced_steps
from revit.config import FineTuneConfig
from revit.datasets.batches import batch_indices

BASE = FineTuneConfig(dataset="digits", epochs=2.0, batch_size=32, num_evals=2)


def test_a_budget_counts_the_trials_own_epochs() -> None:
    budget = compile_budget(BASE.with_values({"schedule.warmup": "1 epoch"}), 100, 1000)
    assert (budget.num_steps, budget.steps_per_epoch, budget.num_warmup, budget.eval_steps) == (8, 4, 4, (4, 8))
    of_all = compile_budget(BASE.with_values({"epoch_images": "all", "schedule.warmup": "1 epoch"}), 100, 1000)
    assert (of_all.num_steps, of_all.steps_per_epoch, of_all.num_warmup) == (64, 4, 4)


@pytest.mark.parametrize(
    ("eval_every", "expected"),
    [(3, (3, 6, 8)), ("1 epoch", (4, 8)), ("25 percent", (2, 4, 6, 8)), ("96 images", (3, 6, 8)), (100, (8,)),
     ("1 percent", tuple(range(1, 9)))],
)  # fmt: skip
def test_evaluations_at_an_interval_end_after_the_last_step(eval_every: int | str, expected: tuple[int, ...]) -> None:
    assert compile_budget(BASE.with_values({"eval_every": eval_every}), 100, 1000).eval_steps == expected


def test_more_evaluations_than_steps_are_one_a_step() -> None:
    assert evenly_spaced_steps(3, 10) == {1, 2, 3}


@pytest.mark.parametrize("num_used", [10, 64, 100])
@pytest.mark.parametrize("num_steps", [1, 4, 11])
def test_images_are_counted_as_the_batches_have_them(num_used: int, num_steps: int) -> None:
    """With fewer images than a batch, whole batches, and a smaller last one."""
    expected = sum(len(batch_indices(BASE, np.arange(num_used), step)) for step in range(num_steps))
    assert count_images(num_used, BASE.batch_size, num_steps) == expected
