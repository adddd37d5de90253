"""Random numbers of a trial: one stream per purpose, from (seed, step) alone.

So a resumed trial draws what an uninterrupted one does, in whichever thread, and a new purpose changes no other draws.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Key that separates the random numbers of one purpose from those of the others under one seed."""

    ORDER = 0
    CROPS = 1
    DROPOUT = 2
    MIXING = 3
    AUGMENTATION = 4
    ERASING = 5


def make_rng(seed: int, stream: Stream, step: int) -> np.random.Generator:
    """Return the generator of a purpose at a step, counted from 0; of `ORDER` at an epoch."""
    return np.random.default_rng([seed, int(stream), step])


def draw_torch_seed(seed: int, stream: Stream, step: int) -> int:
    """Return a seed for a generator of torch at a step: 63 bits."""
    return int(np.random.SeedSequence([seed, int(stream), step]).generate_state(1, np.uint64)[0] >> 1)
