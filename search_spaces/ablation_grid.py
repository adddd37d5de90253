"""Which of the paper's factors matter, and which act together? The full crossing, to be extended.

Edit a tuple to widen the grid, and `constraint` to thin it: only trials that are new are trained.

Run:     python run_study.py run ablation_grid --scale nano
Trials:  2 optimizers x 2 schedules x 2 resolutions x 2 fractions x 2 position embeddings, less 8, x 3 seeds = 72
"""

from revit.config import FineTuneConfig
from search_spaces.framework.claims import BetterThan, Value
from search_spaces.framework.space import SearchSpace
from search_spaces.pos_embed import INFLUENCE


def one_question_at_a_time(config: FineTuneConfig) -> bool:
    """With little data compare the rest under SGD only."""
    return config.data_fraction == 1 or config.optimizer.name == "sgd"


def matters(axis: str, better: Value, worse: Value) -> BetterThan:
    """Under SGD, where the grid is whole: what a claim averages over has to be run with both values."""
    return BetterThan(
        better={"optimizer": "sgd", axis: better}, worse={"optimizer": "sgd", axis: worse}, quote=INFLUENCE
    )


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
    constraint=one_question_at_a_time,
    claims=(
        matters("data_fraction", 1.0, 0.25),
        matters("resolution", 224, 128),
        matters("model.pos_embed", "learned", "none"),
    ),
)
