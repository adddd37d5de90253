"""Pretrain the small models that the project ships, on Fashion-MNIST.

    python -m revit.training.pretrain vit_nano

writes vit_nano.safetensors and its model card vit_nano.md into revit/models/pretrained/. The same command resumes an
interrupted run from its last checkpoint. On one CPU core vit_nano takes about 45 minutes, bit_nano 20.
"""

import argparse
import hashlib
import json
import sys
from datetime import date
from pathlib import Path

import torch
from safetensors.torch import save_file

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig
from revit.datasets.image_store import open_store
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from revit.models.weights import PACKAGED
from revit.training.fine_tune import FineTuneResult, TrialData, fine_tune
from revit.training.train_state import Row, TrainState


def _nano_config(model: str, epochs: int) -> FineTuneConfig:
    return FineTuneConfig(
        dataset="fashion_mnist",
        resolution=28,
        val_fraction=0.02,
        crop_scale=(0.6, 1.0),
        model=ModelConfig(name=model, pretrained=False, head_init="trunc_normal"),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.05),
        schedule=ScheduleConfig(name="cosine", warmup=500),
        epochs=epochs,
        num_evals=epochs,
    )


PRETRAINING = {"vit_nano": _nano_config("vit_nano", epochs=30), "bit_nano": _nano_config("bit_nano", epochs=20)}


def pretrain(config: FineTuneConfig, *, data_dir: Path, cache_dir: Path, checkpoint: Path) -> FineTuneResult:
    """Train from scratch on one thread, with a checkpoint after every validation."""
    torch.set_num_threads(1)
    data = TrialData.from_store(config, open_store(config.dataset, data_dir=data_dir, cache_dir=cache_dir), None)

    def report(rows: list[Row], state: TrainState) -> None:
        print(json.dumps({name: round(value, 4) for name, value in rows[-1].items()}), flush=True)
        if "val_loss" in rows[-1]:
            state.save(checkpoint)

    resume = checkpoint if checkpoint.exists() else None
    return fine_tune(config, data, report, device=torch.device("cpu"), resume=resume)


def model_card(config: FineTuneConfig, result: FineTuneResult) -> str:
    """Return the model card: data, command, settings, accuracy, date."""
    name = config.model.name
    spec = DATASETS[config.dataset]
    settings = "\n".join(f"| `{path}` | {value} |" for path, value in config.flat().items())
    num_test = len(result.predictions.label)
    correct = int((result.predictions.label == result.predictions.prediction).sum())
    return f"""# {name}

Pretrained from scratch by this project on {spec.title} ({spec.num_train:,} training images less the
{config.val_fraction:.0%} held out for validation; {spec.source}; license {spec.license}).

- Command: `python -m revit.training.pretrain {name}` (torch {torch.__version__}, one CPU thread, fp32)
- Seed: {config.seed}
- Test accuracy: {result.metrics["test_accuracy"]:.2%} ({correct:,} of {num_test:,}), measured once, after the last step
- Parameters: {sum(p.numel() for p in result.model.parameters()):,}, the 10-class head included
- Date: {date.today().isoformat()}
- License of the weights: Apache-2.0

| setting | value |
|---|---|
{settings}
"""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Pretrain a small model on Fashion-MNIST and write its card.")
    parser.add_argument("model", choices=sorted(PRETRAINING))
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="dataset directory")
    parser.add_argument("--cache-dir", type=Path, default=Path("data/cache"), help="for decoded images and checkpoint")
    options = parser.parse_args(arguments)
    config = PRETRAINING[options.model]
    digest = hashlib.sha256(repr(config).encode()).hexdigest()[:8]  # another config starts again
    checkpoint = options.cache_dir / "pretrain" / f"{options.model}-{digest}.pt"
    try:
        result = pretrain(config, data_dir=options.data_dir, cache_dir=options.cache_dir, checkpoint=checkpoint)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tensors = {name: tensor.contiguous() for name, tensor in result.model.state_dict().items()}
    save_file(tensors, PACKAGED / f"{options.model}.safetensors")
    (PACKAGED / f"{options.model}.md").write_text(model_card(config, result))
    checkpoint.unlink()
    print(json.dumps(result.metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
