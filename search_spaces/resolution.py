"""Table 2: does fine-tuning above the pre-training resolution help?

Run:     python run_study.py run resolution --scale nano
Trials:  2 datasets x 5 resolutions x 3 seeds = 30
"""

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    name="resolution",
    question="Does fine-tuning above the pre-training resolution help?",
    table=2,
    scientific={"dataset": ("cifar100", "flowers102"), "resolution": (512, 384, 224, 128, 64)},
)
