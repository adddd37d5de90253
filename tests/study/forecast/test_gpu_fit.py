"""Memory of a GPU beside that of its trials."""

import pytest

from revit.training.memory_shape import MemoryEstimate
from study.forecast.gpu_fit import (
    CONTEXT_BYTES,
    RESERVED_SHARE,
    WORKSPACE_BYTES,
    bytes_for_trial,
    largest_micro_batch,
    trials_that_fit,
)

GB = 10**9


@pytest.mark.parametrize("trial_bytes", [GB // 10, GB, 7 * GB])
@pytest.mark.parametrize("gpu_bytes", [8 * GB, 24 * GB, 80 * GB])
def test_one_more_trial_would_not_fit(trial_bytes: int, gpu_bytes: int) -> None:
    num = trials_that_fit(trial_bytes, gpu_bytes)
    each = RESERVED_SHARE * trial_bytes + WORKSPACE_BYTES + CONTEXT_BYTES
    assert num * each <= gpu_bytes < (num + 1) * each


def test_the_largest_micro_batch_is_the_last_with_which_a_trial_fits() -> None:
    estimate = MemoryEstimate(lines=((2 * GB, 0), (GB, GB // 10)), batch_bytes=GB // 100)
    size = largest_micro_batch(estimate, 24 * GB)
    fits = [trials_that_fit(estimate.peak_bytes(each), 24 * GB) >= 1 for each in (size, size + 1)]
    assert fits == [True, False]
    assert estimate.peak_bytes(size) <= bytes_for_trial(24 * GB)
    assert largest_micro_batch(estimate, 2 * GB) == 0, "not even the weights fit"
