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
        num_threads: CPU threads of the trial.
        keep_model: leave the tested weights among the artifacts.
    """

    identity: str
    config: dict[str, Any]
    images: str
    weights: str | None
    work: str
    num_threads: int
    keep_model: bool


def train_trial(params: dict[str, Any]) -> None:
    """Train one order to its end, going on from its checkpoint where there is one.

    Reports `rows` as they come, and lastly `outcome`. Artifacts lie in the work folder by then.
    """
    import torch

    from revit.datasets.store import ImageStore
    from revit.fine_tune import Row, TrainState, TrialData, fine_tune

    order = Order(**params["order"])
    config = from_dict(order.config)
    work = Path(order.work)
    checkpoint = work / CHECKPOINT
    artifacts = work / ARTIFACTS
    artifacts.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(order.num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def report(rows: list[Row], state: TrainState) -> None:
        if "val_loss" in rows[-1]:
            state.save(checkpoint)
        tune.report({"rows": rows})

    def write_built(built: dict[str, Any]) -> None:
        _write_json(artifacts / "config.json", asdict(config))
        _write_json(artifacts / "built.json", built)

    weights = None if order.weights is None else Path(order.weights)
    data = TrialData.of(config, ImageStore(Path(order.images)), weights)
    resume = checkpoint if checkpoint.exists() else None
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
