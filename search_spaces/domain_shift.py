"""Table 4: is ViT better than BiT on images unlike those of pre-training?

Run:     python run_study.py run domain_shift --scale nano
Trials:  3 datasets x 2 models x 3 seeds = 18
"""

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    name="domain_shift",
    question="Is ViT better than BiT on medical, horticultural and military images?",
    table=4,
    scientific={
        "dataset": ("brain_tumor_mri", "plant_health", "weapons"),
        "model.name": ("vit_b16_in21k", "bit_r50x1_in21k"),
    },
)
