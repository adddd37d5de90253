"""Table 2: does fine-tuning above the pre-training resolution help?

Run:     python run_study.py run resolution --scale nano
Trials:  2 datasets x 5 resolutions x 3 seeds = 30
"""

from search_spaces.framework.claims import Best, BetterThan
from search_spaces.framework.space import SearchSpace

SPACE = SearchSpace(
    name="resolution",
    question="Does fine-tuning above the pre-training resolution help?",
    table=2,
    columns=("resolution",),
    fixed={"model.name": "vit_b16_in21k"},
    scientific={"dataset": ("cifar100", "flowers"), "resolution": (512, 384, 224, 128, 64)},
    claims=(
        Best(
            axis="resolution",
            value=224,
            among=(512, 384, 224, 128, 64),
            where={"dataset": "cifar100"},
            quote="For CIFAR100, the best performance was achieved when fine-tuning at the same resolution as "
            "pre-training.",
        ),
        BetterThan(
            better={"dataset": "flowers", "resolution": 384},
            worse={"dataset": "flowers", "resolution": 512},
            quote="For Flower102, a resolution of 384 outperformed 512.",
        ),
    ),
)
