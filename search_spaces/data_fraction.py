"""Table 3: does ViT lose more than BiT when there is less data to fine-tune on, and is it the data?

The paper trains for the same number of epochs on less data, so for fewer steps. With `matched steps` every fraction is
trained for as many steps as the whole.

Run:     python run_study.py run data_fraction --scale nano
Trials:  2 datasets x 2 models x 4 fractions x 2 budgets x 3 seeds = 96, of which 12 are shared
"""

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    name="data_fraction",
    question="Does ViT lose more than BiT with less data, and does it still when trained for as many steps?",
    table=3,
    scientific={
        "dataset": ("cifar100", "flowers102"),
        "model.name": ("vit_b16_in21k", "bit_r50x1_in21k"),
        "data_fraction": (1.0, 0.5, 0.25, 0.1),
        "budget": {"matched epochs": {"epoch_images": "used"}, "matched steps": {"epoch_images": "all"}},
    },
)
