"""Table 1: does ViT-B/16 reach its published accuracy on small datasets with a fraction of the training?

Run:     python run_study.py run replication --scale nano
Trials:  3 datasets x 3 seeds = 9
"""

from search_spaces.space import SearchSpace

SPACE = SearchSpace(
    name="replication",
    question="Does ViT-B/16 reach its published accuracy with a fraction of the published training?",
    table=1,
    columns=("dataset",),
    scientific={"dataset": ("cifar10", "cifar100", "flowers102")},
)
