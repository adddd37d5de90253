"""Does the learning-rate schedule matter, and does the answer depend on the optimizer?

A nano ViT, pretrained on Fashion-MNIST by this project, is fine-tuned on 1,797 real handwritten digits.
It takes a minute or two on two CPU cores and needs no download. It shows how a study runs; it is no
evidence on any published claim.

Run:     python run_study.py run quickstart
Trials:  2 optimizers x 2 schedules x 3 seeds = 12
"""

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace

SPACE = SearchSpace(
    name="quickstart",
    question="Does the learning-rate schedule matter, and does the answer depend on the optimizer?",
    base=FineTuneConfig(
        dataset="digits",
        resolution=28,
        crop_scale=(0.6, 1.0),
        hflip=False,  # a mirrored digit is another sign, or none
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
