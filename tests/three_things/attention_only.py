"""Table 6: is it enough to fine-tune the attention layers?"""

from pathlib import Path

from revit.config import FineTuneConfig
from search_spaces.framework import BetterThan, Matches, SearchSpace, read_paper

PAPER = Path(__file__).with_name("three_things.csv")
SMALL = {"dataset": "flowers102", "model": "vit_s"}

SPACE = SearchSpace(
    name="attention_only",
    question="Is it enough to fine-tune the attention layers?",
    paper=PAPER,
    table="6",
    base=FineTuneConfig(dataset="cifar10", resolution=224, steps=1000),
    scientific={
        "dataset": ("cifar10", "flowers102"),
        "model": {
            "vit_s": {"model.name": "deit3_small_patch16_224.fb_in1k"},
            "vit_b": {"model.name": "deit3_base_patch16_224.fb_in1k"},
        },
        "model.trained": ("all", "attention", "mlp"),
    },
    columns=("model.trained",),
    seeds=(0, 1),
    claims=(
        BetterThan(
            better={"model.trained": "attention"},
            worse={"model.trained": "all"},
            where={"dataset": "flowers102", "model": "vit_b"},
            quote="for the smallest datasets, namely CARS and Flower, fine-tuning only the MHSA layers is an excellent "
            "strategy. It is even better than full-tuning.",
        ),
        Matches(
            axis="model.trained",
            published=read_paper(PAPER).values("model.trained", table="6", where=SMALL),
            where=SMALL,
            margin=1,
            quote="Table 6: 96.8, 96.9, 96.1",
        ),
    ),
)
