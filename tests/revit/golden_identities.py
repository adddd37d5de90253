"""Golden identities: adds new configs to golden_identities.json, and leaves those in it as they are.

python -m tests.revit.golden_identities
"""

import json
from collections.abc import Iterator
from pathlib import Path

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.scales import SCALES
from tests.identities import identity_of

FILE = Path(__file__).with_suffix(".json")
SPECIAL: dict[str, dict[str, object]] = {
    "default": {},
    "warmup in percent": {"schedule.warmup": "20 percent"},
    "sgd without momentum": {"optimizer.momentum": 0.0},
    "muon": {"optimizer.name": "muon", "optimizer.layer_decay": 0.75},
    "lora on attention": {"model.adapter": "lora", "model.trained": "attention", "optimizer.name": "adamw"},
    "frozen embedding": {"model.frozen": "embedding", "ema_decay": 0.99},
    "strong augmentation": {"augmentation": "randaugment", "cutmix": 1.0, "mixup": 0.8, "label_smoothing": 0.1},
    "test curve": {"test_curve": True, "eval_every": "2 steps", "val_fraction": 0.0},
    "search trial": {"test": False},
    "search trial of best_val": {"test": False, "selection": "best_val", "val_fraction": 0.2},
    "timm": {"model.name": "resnet18", "resolution": 224, "normalization": "imagenet"},
}


def configs() -> Iterator[tuple[str, FineTuneConfig]]:
    """Yield named configs over all recipes and scales: the last trial of some studies."""
    base = FineTuneConfig(dataset="digits", steps=10)
    yield from ((name, base.with_values(values)) for name, values in SPECIAL.items())
    for study in ("resolution", "optimizer_schedule", "ablation_grid", "data_fraction", "pos_embed"):
        for recipe in RECIPES:
            for scale in SCALES:
                try:
                    candidates = search_spaces.load(study).variant(recipe=recipe, scale=scale).candidates((0,))
                except InputError:
                    continue  # a recipe that does not cover the study
                yield f"{study}, {recipe}, {scale}", candidates[-1].config


def main() -> None:
    """Write the file."""
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    base = FineTuneConfig(dataset="digits", steps=10).flat()
    for name, config in configs():
        values = {path: value for path, value in config.flat().items() if value != base[path]}
        golden.setdefault(name, {"values": values, "identity": identity_of(config)})
    lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in golden.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
