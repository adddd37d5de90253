"""Golden traces: the losses of short trials that together use every part of the training code.

    python -m tests.revit.training.golden_traces

adds the traces of new cases to golden_traces.json, and leaves those in it as they are.
"""

import json
import tempfile
from pathlib import Path

import torch

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore, open_store
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.train_state import Row, TrainState

FILE = Path(__file__).with_suffix(".json")
BASE = FineTuneConfig(
    dataset="digits", resolution=8, batch_size=16, steps=4, num_evals=2, data_fraction=0.1
).with_values({"optimizer.lr": 0.1})
ADAM = {"optimizer.name": "adam", "optimizer.lr": 1e-3}
SCRATCH = {"model.pretrained": False, "model.head_init": "trunc_normal", "optimizer.lr": 0.03}
CASES: dict[str, dict[str, object]] = {
    "base": {},
    "resolution": {"resolution": 16},
    "resized": {"train_crop": "resized", "resize_factor": 1.5, "hflip": False},
    "padded": {"train_crop": "padded", "crop_padding": 1},
    "no crop": {"train_crop": "none"},
    "crop scale": {"crop_scale": (0.5, 0.9)},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "mixup or cutmix": {"mixup": 0.8, "cutmix": 1.0, "seed": 1},
    "randaugment": {"augmentation": "randaugment"},
    "strong randaugment": {"augmentation": "randaugment", "randaugment_num_ops": 3, "randaugment_magnitude": 20},
    "trivialaugment": {"augmentation": "trivialaugment"},
    "random erasing": {"random_erasing": 0.5},
    "binary cross-entropy": {"loss": "binary_cross_entropy"},
    "label smoothing": {"label_smoothing": 0.2},
    "smoothed binary cross-entropy": {"loss": "binary_cross_entropy", "label_smoothing": 0.2},
    "averaged weights": {"ema_decay": 0.5},
    "normalization": {"normalization": "cifar10"},
    "imagenet normalization": {"normalization": "imagenet"},
    "bit": {"model.name": "bit_nano", "normalization": "inception", "resolution": 28},
    "with replacement": {"sampling": "with_replacement"},
    "batch size": {"batch_size": 8},
    "seed": {"seed": 3},
    "subset": {"subset_seed": 1, "data_fraction": 0.2, "val_fraction": 0.2},
    "epochs": {"steps": None, "epochs": 0.03, "epoch_images": "all", "eval_every": 1},
    "best weights": {"selection": "best_val", "optimizer.lr": 1.0, "num_evals": 4},
    "test curve": {"test_curve": True, "num_evals": 4},
    "untested": {"test": False},
    "no position embedding": {"model.pos_embed": "none"},
    "jax resize": {"model.pos_embed_resize": "jax"},
    "hf resize": {"model.pos_embed_resize": "hf"},
    "truncated normal head": {"model.head_init": "trunc_normal"},
    "normal head": {"model.head_init": "normal"},
    "torch head": {"model.head_init": "torch"},
    "probed head": {"model.head_init": "probed"},
    "dropout": {"model.dropout": 0.2},
    "attention dropout": {"model.attn_dropout": 0.2},
    "head dropout": {"model.head_dropout": 0.2},
    "no output projection": {**SCRATCH, "model.attn_out_proj": False},
    "embedding": {**SCRATCH, "model.embed_std": 0.5},
    "torch linear layers": {**SCRATCH, "model.linear_init": "torch"},
    "stochastic depth": {"model.drop_path": 0.3},
    "stochastic depth of bit": {"model.name": "bit_nano", "resolution": 28, "model.drop_path": 0.3},
    "head alone": {"model.trained": "head", "optimizer.lr": 0.5},
    "attention": {"model.trained": "attention"},
    "mlp": {"model.trained": "mlp"},
    "norms": {"model.trained": "norms", "optimizer.lr": 0.5},
    "biases": {"model.trained": "biases", "optimizer.lr": 0.5},
    "frozen embedding": {"model.frozen": "embedding"},
    "frozen blocks": {"model.frozen": "first_2"},
    "lora": {"model.adapter": "lora", "optimizer.lr": 0.5},
    "lora of rank 2": {"model.adapter": "lora", "model.adapter_rank": 2, "optimizer.lr": 0.5},
    "lora, scaled": {"model.adapter": "lora", "model.adapter_alpha": 4.0, "optimizer.lr": 0.5},
    "dora on attention": {"model.adapter": "dora", "model.trained": "attention", "optimizer.lr": 0.5},
    "ia3": {"model.adapter": "ia3", "optimizer.lr": 1.0},
    "adam": ADAM,
    "adamw": {"optimizer.name": "adamw", "optimizer.lr": 1e-2, "optimizer.weight_decay": 5.0},
    "momentum": {"optimizer.momentum": 0.5},
    "weight decay": {"optimizer.weight_decay": 0.1},
    "betas": {**ADAM, "optimizer.betas": (0.5, 0.9)},
    "eps": {**ADAM, "optimizer.eps": 1e-2},
    "layer decay": {"optimizer.layer_decay": 0.5},
    "muon": {"optimizer.name": "muon", "optimizer.lr": 0.01, "optimizer.weight_decay": 0.1},
    "lion": {"optimizer.name": "lion", "optimizer.lr": 1e-3, "optimizer.weight_decay": 0.1},
    "adan": {"optimizer.name": "adan", "optimizer.lr": 1e-3, "optimizer.weight_decay": 0.1},
    "lamb": {"optimizer.name": "lamb", "optimizer.lr": 0.01, "optimizer.weight_decay": 0.1},
    "nesterov": {"optimizer.name": "nesterov"},
    "no clipping": {"optimizer.max_grad_norm": None},
    "linear": {"schedule.name": "linear"},
    "exponential": {"schedule.name": "exponential", "schedule.end_factor": 0.1},
    "multistep": {"schedule.name": "multistep", "schedule.milestones": (0.25,)},
    "plateau": {"schedule.name": "plateau", "schedule.plateau_factor": 0.1, "schedule.plateau_patience": 0,
                "optimizer.lr": 2.0, "num_evals": 4},
    "constant": {"schedule.name": "constant"},
    "by the epoch": {"schedule.update": "epoch", "batch_size": 64},
    "warmup": {"schedule.warmup": 2},
    "cycling cosine": {"schedule.t_max": 1.5},
}  # fmt: skip
"""Values over BASE that train a part of the code each."""


def trace(config: FineTuneConfig, store: ImageStore) -> dict[str, list[float]]:
    """Return the training losses of every step, the validation losses and the test loss, if any, in nats."""
    rows: list[Row] = []

    def report(new: list[Row], state: TrainState) -> None:
        rows.extend(new)

    data = TrialData.from_store(config, store, find_weights(config.model))
    result = fine_tune(config, data, report, device=torch.device("cpu"))
    names = ("train_loss", "val_loss", "test_curve_loss")
    curves = {name: [round(row[name], 6) for row in rows if name in row] for name in names}
    return {**curves, "test_loss": [round(value, 6) for name, value in result.metrics.items() if name == "test_loss"]}


def main() -> None:
    """Write the file.

    Raises:
        ValueError: a case trains the same as another, so that it tests nothing.
    """
    torch.set_num_threads(1)
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        store = open_store("digits", data_dir=Path(folder), cache_dir=Path(folder))
        for name, values in CASES.items():
            golden.setdefault(name, trace(BASE.with_values(values), store))
    if len({str(each) for each in golden.values()}) < len(golden):
        raise ValueError("two cases train the same")
    lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in golden.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
