"""Full crossing of the paper's factors: which of them matter, which interact?

Edit a tuple to widen the grid, or `constraint` to thin it: only new trials are trained.

Run:     python run_study.py run ablation_grid --scale nano
Trials:  2 optimizers x 2 schedules x 2 resolutions x 2 fractions x 2 position embeddings, less 8, x 3 seeds = 72
Cost:    180,000 steps, 1.60e18 FLOPs (nano: 5,760 steps, 5.76e12 FLOPs)
Needs:   cifar100, vit_b16_in21k (nano: nothing)
Result:  not run at paper scale yet. Nothing is published on this grid
"""

from revit.config import FineTuneConfig
from search_spaces.framework import BetterThan, SearchSpace, Value
from search_spaces.pos_embed import INFLUENCE


def whole_data_or_sgd(config: FineTuneConfig) -> bool:
    """Keep all points of the whole data, and with less data those of SGD."""
    return config.data_fraction == 1 or config.optimizer.name == "sgd"


def matters(axis: str, better: Value, worse: Value) -> BetterThan:
    """Claim that one value of an axis is better than another under SGD, where no point of the grid is left out."""
    return BetterThan(better={axis: better}, worse={axis: worse}, where={"optimizer": "sgd"}, quote=INFLUENCE)


SPACE = SearchSpace(
    name="ablation_grid",
    question="Which of optimizer, schedule, resolution, data fraction and position embedding matter?",
    fixed={"dataset": "cifar100", "model.name": "vit_b16_in21k"},
    scientific={
        "optimizer": {
            "sgd": {"optimizer.name": "sgd", "optimizer.lr": 0.01},
            "adam": {"optimizer.name": "adam", "optimizer.lr": 1e-4},
        },
        "schedule.name": ("cosine", "constant"),
        "resolution": (224, 128),
        "data_fraction": (1.0, 0.25),
        "model.pos_embed": ("learned", "none"),
    },
    constraint=whole_data_or_sgd,
    claims=(
        matters("data_fraction", 1.0, 0.25),
        matters("resolution", 224, 128),
        matters("model.pos_embed", "learned", "none"),
    ),
)
