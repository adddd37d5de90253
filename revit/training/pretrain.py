"""Pretrain the small models that the project ships, on Fashion-MNIST.

    python -m revit.training.pretrain vit_nano

writes vit_nano.safetensors and its model card vit_nano.md into revit/models/pretrained/. The same command resumes an
interrupted run from its last checkpoint. On one CPU core vit_nano takes about 45 minutes, bit_nano 20; `--device cuda`
trains on a GPU.
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
from revit.training.device import DEVICES, device_name, find_device, has_bf16
from revit.training.fine_tune import FineTuneResult, TrialData, fine_tune
from revit.training.train_state import Row, TrainState

CPU = torch.device("cpu")


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


EPOCHS = {"vit_nano": 30, "bit_nano": 20, "vit_nano_small": 30, "vit_nano_medium": 30, "vit_nano_large": 30}
PRETRAINING = {model: _nano_config(model, epochs) for model, epochs in EPOCHS.items()}
GPU_THREADS = 4
"""CPU threads that prepare images for a GPU."""


def pretrain(
    config: FineTuneConfig, *, data_dir: Path, cache_dir: Path, checkpoint: Path, device: torch.device = CPU
) -> FineTuneResult:
    """Train from scratch, on a CPU with one thread, with a checkpoint after every validation."""
    torch.set_num_threads(1)
    store = open_store(config.dataset, data_dir=data_dir, cache_dir=cache_dir)
    data = TrialData.from_store(config, store, None, num_threads=1 if device.type == "cpu" else GPU_THREADS)

    def report(rows: list[Row], state: TrainState) -> None:
        print(json.dumps({name: round(value, 4) for name, value in rows[-1].items()}), flush=True)
        if "val_loss" in rows[-1]:
            state.save(checkpoint)

    resume = checkpoint if checkpoint.exists() else None
    return fine_tune(config, data, report, device=device, resume=resume)


def model_card(config: FineTuneConfig, result: FineTuneResult, device: torch.device = CPU) -> str:
    """Return the model card: data, command, settings, accuracy, date."""
    name = config.model.name
    option, how = "", "one CPU thread, fp32"
    if device.type != "cpu":
        option, how = f" --device {device}", f"{device_name(device)}, {'bf16' if has_bf16(device) else 'fp32'}"
    spec = DATASETS[config.dataset]
    settings = "\n".join(f"| `{path}` | {value} |" for path, value in config.flat().items())
    num_test = len(result.predictions.label)
    correct = int((result.predictions.label == result.predictions.prediction).sum())
    return f"""# {name}

Pretrained from scratch by this project on {spec.title} ({spec.num_train:,} training images less the
{config.val_fraction:.0%} held out for validation; {spec.source}; license {spec.license}).

- Command: `python -m revit.training.pretrain {name}{option}` (torch {torch.__version__}, {how})
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
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it trains")
    options = parser.parse_args(arguments)
    config = PRETRAINING[options.model]
    digest = hashlib.sha256(repr(config).encode()).hexdigest()[:8]  # another config starts again
    checkpoint = options.cache_dir / "pretrain" / f"{options.model}-{digest}.pt"
    try:
        device = find_device(options.device)
        result = pretrain(
            config, data_dir=options.data_dir, cache_dir=options.cache_dir, checkpoint=checkpoint, device=device
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tensors = {name: tensor.cpu().contiguous() for name, tensor in result.model.state_dict().items()}
    save_file(tensors, PACKAGED / f"{options.model}.safetensors")
    (PACKAGED / f"{options.model}.md").write_text(model_card(config, result, device))
    checkpoint.unlink()
    print(json.dumps(result.metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
