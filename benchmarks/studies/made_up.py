"""A study with every figure of a grid; its claims read the predictions of every trial."""

from revit.config import FineTuneConfig
from search_spaces.framework import BetterThan, SearchSpace, Trend

RESOLUTIONS = (8, 12, 16, 20, 28)
SPACE = SearchSpace(
    name="made_up",
    question="What does the report of a large study look like?",
    base=FineTuneConfig(dataset="digits", resolution=28, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=20),
    scientific={
        "resolution": RESOLUTIONS,
        "model.pos_embed": ("learned", "none"),
        "optimizer": {
            "sgd": {"optimizer.name": "sgd", "optimizer.lr": 0.1},
            "adam": {"optimizer.name": "adam", "optimizer.lr": 1e-3},
        },
        "schedule.name": ("cosine", "constant"),
    },
    columns=("resolution",),
    seeds=tuple(range(25)),
    claims=(
        Trend(axis="resolution", direction="increasing", values=RESOLUTIONS, quote="More is more."),
        BetterThan(better={"model.pos_embed": "learned"}, worse={"model.pos_embed": "none"}, quote="Place matters."),
    ),
)
