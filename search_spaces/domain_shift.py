"""Table 4: is ViT better than BiT on images unlike those of pre-training?

Run:     python run_study.py run domain_shift --scale nano
Trials:  3 datasets x 2 models x 3 seeds = 18
"""

from search_spaces.framework.claims import BetterThan
from search_spaces.framework.space import SearchSpace

SPACE = SearchSpace(
    name="domain_shift",
    question="Is ViT better than BiT on medical, horticultural and military images?",
    table=4,
    columns=("dataset",),
    scientific={
        "dataset": ("brain_tumor_mri", "plant_health", "weapons"),
        "model.name": ("vit_b16_in21k", "bit_r50x1_in21k"),
    },
    claims=(
        BetterThan(
            better={"dataset": "brain_tumor_mri", "model.name": "vit_b16_in21k"},
            worse={"dataset": "brain_tumor_mri", "model.name": "bit_r50x1_in21k"},
            quote="The results of the experiment revealed that the ViT model outperformed the BiT model by a margin of "
            "approximately 0.27%.",
        ),
        BetterThan(
            better={"dataset": "plant_health", "model.name": "bit_r50x1_in21k"},
            worse={"dataset": "plant_health", "model.name": "vit_b16_in21k"},
            quote="Here, BiT outperformed ViT by a significant margin of approximately 5.05%.",
        ),
        BetterThan(
            better={"dataset": "weapons", "model.name": "vit_b16_in21k"},
            worse={"dataset": "weapons", "model.name": "bit_r50x1_in21k"},
            quote="In our study, ViT outperformed BiT by a substantial margin of approximately 10.55%, marking the "
            "largest gap observed in our domain-specific experiments.",
        ),
    ),
)
