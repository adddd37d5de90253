"""Table 3: does ViT lose more than BiT when there is less data to fine-tune on, and is it the data?

The paper trains for the same number of epochs on less data, so for fewer steps. With `matched steps` every fraction is
trained for as many steps as the whole.

Run:     python run_study.py run data_fraction --scale nano
Trials:  2 datasets x 2 models x 4 fractions x 2 budgets x 3 seeds = 96, of which 12 are shared
"""

from search_spaces.framework.claims import Interaction, Trend
from search_spaces.framework.space import SearchSpace

DATASETS = ("cifar100", "flowers")
VIT, BIT = "vit_b16_in21k", "bit_r50x1_in21k"
BUDGETS = {"matched epochs": {"epoch_images": "used"}, "matched steps": {"epoch_images": "all"}}


def vit_loses_more(dataset: str, budget: str) -> Interaction:
    """The paper's last column, `diff.`: from all of the data to a tenth of it."""
    return Interaction(
        axis="data_fraction",
        low=0.1,
        high=1.0,
        moderator="model.name",
        larger=VIT,
        smaller=BIT,
        where={"dataset": dataset, "budget": budget},
        quote="Our experiments on two datasets revealed a notable sensitivity of ViT models to data scarcity during "
        "fine-tuning.",
    )


def vit_loses(dataset: str) -> Trend:
    """The paper's rows of ViT."""
    return Trend(
        axis="data_fraction",
        direction="decreasing",
        values=(1.0, 0.5, 0.25, 0.1),
        where={"dataset": dataset, "model.name": VIT, "budget": "matched epochs"},
        quote="Specifically, using only 10% or 25% of the full dataset resulted in a substantial decrease in "
        "performance compared to utilizing the complete dataset.",
    )


SPACE = SearchSpace(
    name="data_fraction",
    question="Does ViT lose more than BiT with less data, and does it still when trained for as many steps?",
    table=3,
    columns=("data_fraction",),
    scientific={
        "dataset": DATASETS,
        "model.name": (VIT, BIT),
        "data_fraction": (1.0, 0.5, 0.25, 0.1),
        "budget": BUDGETS,
    },
    claims=(
        *(vit_loses_more(dataset, budget) for budget in BUDGETS for dataset in DATASETS),
        *(vit_loses(dataset) for dataset in DATASETS),
    ),
)
