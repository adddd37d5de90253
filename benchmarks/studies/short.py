"""A study of one short trial, with as many seeds as are asked for. Its memory is in the package's table of costs."""

from revit.config import FineTuneConfig
from search_spaces.framework import SearchSpace

SPACE = SearchSpace(
    name="short",
    question="How long do short trials take?",
    base=FineTuneConfig(
        dataset="digits", resolution=28, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=5, num_evals=1
    ),
    scientific={"optimizer.name": ("sgd",)},
)
