"""Quickstart: does the effect of the learning-rate schedule depend on the optimizer?

A nano ViT, pretrained on Fashion-MNIST by this project, is fine-tuned on 1,797 real handwritten digits. It shows how a
study runs, in a minute or two on two CPU cores. It is not evidence for or against any published claim.

Run:     python run_study.py run quickstart
Trials:  2 optimizers x 2 schedules x 3 seeds = 12
Cost:    1,440 steps, 2.21e12 FLOPs
Needs:   nothing
Result:  SGD 93.04 % with cosine, 85.52 % with a constant rate; Adam 89.79 %, 90.71 % (README.md)
"""

from revit.config import FineTuneConfig
from search_spaces.framework import SearchSpace

SPACE = SearchSpace(
    name="quickstart",
    question="Does the learning-rate schedule matter, and does the answer depend on the optimizer?",
    base=FineTuneConfig(
        dataset="digits",
        resolution=28,
        crop_scale=(0.6, 1.0),
        hflip=False,  # a mirrored digit is not that digit
        batch_size=32,
        steps=120,
    ),
    scientific={
        "optimizer": {
            "sgd": {"optimizer.name": "sgd", "optimizer.lr": 0.1},
            "adam": {"optimizer.name": "adam", "optimizer.lr": 1e-3},
        },
        "schedule.name": ("cosine", "constant"),
    },
)
