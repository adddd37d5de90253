"""The adapter between one Ray Tune trial and `revit.fine_tune`. Runs in Ray's worker processes."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray import tune

from revit.config import from_dict
from revit.errors import DivergedError

CHECKPOINT = "checkpoint.pt"
ARTIFACTS = "artifacts"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is asked to train: plain values, so that they travel.

    Attributes:
        images: folder of the image store.
        weights: file or folder of the pretrained weights, None to start from scratch.
        work: folder of this trial's checkpoint and artifacts; the driver can read it too.
        device: `cpu` or `cuda`.
        num_threads: CPU threads of the trial.
        keep_model: leave the tested weights among the artifacts.
    """

    identity: str
    config: dict[str, Any]
    images: str
    weights: str | None
    work: str
    device: str
    num_threads: int
    keep_model: bool


def train_trial(params: dict[str, Any]) -> None:
    """Train one order to its end, going on from its checkpoint where there is one.

    Reports `rows` as they come, and lastly `outcome`. Artifacts lie in the work folder by then.
    """
    import torch

    from revit.datasets.store import ImageStore
    from revit.fine_tune import Row, TrainState, TrialData, device_name, fine_tune, marks, uses_bf16

    order = Order(**params["order"])
    config = from_dict(order.config)
    work = Path(order.work)
    checkpoint = work / CHECKPOINT
    artifacts = work / ARTIFACTS
    shutil.rmtree(artifacts, ignore_errors=True)  # of an earlier attempt that failed
    artifacts.mkdir(parents=True)
    device = torch.device(order.device)
    torch.set_num_threads(order.num_threads if device.type == "cpu" else 1)

    weights = None if order.weights is None else Path(order.weights)
    data = TrialData.of(config, ImageStore(Path(order.images)), weights, order.num_threads)
    resume = checkpoint if checkpoint.exists() else None
    save_at = marks(config.num_steps(len(data.splits.train), data.splits.num_all), config.num_evals)
    told_before = resume is not None  # of a resumed trial the first report repeats what came before

    def report(rows: list[Row], state: TrainState) -> None:
        nonlocal told_before
        if state.step in save_at and not told_before:
            state.save(checkpoint)
        tune.report({"rows": rows, "repeated": told_before})
        told_before = False

    def write_built(built: dict[str, Any]) -> None:
        _write_json(artifacts / "config.json", asdict(config))
        _write_json(artifacts / "built.json", built)
        precision = "bf16" if uses_bf16(device) else "fp32"
        tune.report({"tags": {"device": device_name(device), "precision": precision, "torch": torch.__version__}})

    try:
        result = fine_tune(config, data, report, device=device, resume=resume, on_built=write_built)
    except DivergedError as error:
        tune.report({"outcome": "diverged", "message": str(error)})
        return
    _write_predictions(artifacts / "predictions.parquet", asdict(result.predictions))
    if order.keep_model:
        _write_model(artifacts / "model.safetensors", result.model)
    tune.report({"outcome": "finished", "metrics": result.metrics})


def clear_work(work: Path) -> None:
    """Remove what a settled trial no longer needs."""
    shutil.rmtree(work, ignore_errors=True)


def _write_json(path: Path, record: object) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n")


def _write_predictions(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)


def _write_model(path: Path, model: Any) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, path)
