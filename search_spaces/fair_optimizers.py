"""Fair optimizers: is AdamW better than SGD, each with a learning rate of its own?

A nano ViT is fine-tuned on handwritten digits, as in the quickstart. Each optimizer is tuned with the same budget, on
validation images; its best point is then trained on all training images and tested. It is not evidence for or against
any published claim.

Run:     python run_study.py run fair_optimizers
Trials:  2 optimizers x 3 seeds = 6, and 2 searches x 12 points = 24
Cost:    3,600 steps, 5.52e12 FLOPs
Needs:   nothing
Result:  AdamW 93.50 %, SGD 92.94 %, which their intervals do not tell apart (docs/search.md)
"""

from revit.config import FineTuneConfig
from search_spaces.framework import Range, Search, SearchSpace

SPACE = SearchSpace(
    name="fair_optimizers",
    question="Is AdamW better than SGD, if each has a learning rate and weight decay of its own?",
    base=FineTuneConfig(
        dataset="digits",
        resolution=28,
        crop_scale=(0.6, 1.0),
        hflip=False,  # a mirrored digit is not that digit
        batch_size=32,
        steps=120,
    ),
    scientific={"optimizer.name": ("sgd", "adamw")},
    nuisance={
        "optimizer.lr": Range(1e-5, 1, log=True),
        "optimizer.weight_decay": Range(1e-3, 1, log=True, when={"optimizer.name": "adamw"}),
    },
    search=Search(num_trials=12),
)
