"""Training on a GPU: without synchronization, equal to a CPU up to rounding."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.batches import train_batches
from revit.datasets.image_store import ImageStore
from revit.training import fine_tune as module
from revit.training.device import has_bf16
from revit.training.fine_tune import TrialData, train_step

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

MODELS = ["vit_nano", "bit_nano"]


@pytest.fixture(autouse=True)
def precision_as_before() -> Iterator[None]:
    """Restore the precision of matrix products: a trial on a GPU lets its process use TF32."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def config(small: FineTuneConfig, request: pytest.FixtureRequest) -> FineTuneConfig:
    """Return a tiny trial with micro-batches, mixup, dropout, clipping."""
    name = request.param
    values = {"model.name": name, "resolution": 28, "mixup": 0.2, "micro_batch": 6, "optimizer.name": "adamw"}
    return small.with_values({**values, "optimizer.lr": 1e-3, "model.dropout": 0.1 if name == "vit_nano" else 0.0})


class Watched:
    """Replacement of `train_step` that fails where a step synchronizes, except the first, which copies constants.

    Attributes:
        seen: the optimizer of each step, and whether its images were in pinned memory.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[torch.optim.Optimizer, bool]] = []

    def __call__(self, model: Any, optimizer: torch.optim.Optimizer, batch: Any, *rest: Any, **options: Any) -> Any:
        torch.cuda.set_sync_debug_mode("error" if self.seen else "default")
        self.seen.append((optimizer, batch.images.is_pinned()))
        try:
            return train_step(model, optimizer, batch, *rest, **options)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("config", MODELS, indirect=True)
def test_training_does_not_synchronize_is_fused_in_bf16(
    config: FineTuneConfig, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched()
    dtypes: set[torch.dtype] = set()
    monkeypatch.setattr(module, "train_step", watched)
    monkeypatch.setattr(module, "train_input", record_product_dtypes(dtypes, module.train_input))
    train(config, device="cuda")
    assert len(watched.seen) == config.steps
    for optimizer, pinned in watched.seen:
        assert pinned
        assert all(group["fused"] for group in optimizer.param_groups)
    assert dtypes == {torch.bfloat16 if has_bf16(torch.device("cuda")) else torch.float32}
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"


def record_product_dtypes(dtypes: set[torch.dtype], prepare: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the preparation of images: record the dtype of a matrix product at that point."""

    def prepare_and_record(*given: Any) -> Any:
        square = torch.ones(8, 8, device="cuda")
        dtypes.add((square @ square).dtype)
        return prepare(*given)

    return prepare_and_record


@pytest.mark.parametrize("config", MODELS, indirect=True)
def test_a_trial_on_a_gpu_equals_one_on_a_cpu_to_bf16_rounding(config: FineTuneConfig, train: Callable) -> None:
    config = config.with_values({"model.dropout": 0.0})  # the masks of the two devices differ
    _, there = train(config, device="cuda")
    _, here = train(config)
    assert there.curve("train_loss") == [
        (step, pytest.approx(loss, rel=0.05, abs=0.02)) for step, loss in here.curve("train_loss")
    ]


@pytest.mark.parametrize("resumed_on", ["cuda", "cpu"])
@pytest.mark.parametrize("config", MODELS, indirect=True)
def test_a_resumed_trial_is_nearly_the_same(
    config: FineTuneConfig, train: Callable, make_listener: Callable, tmp_path: Path, resumed_on: str
) -> None:
    """Resume on the GPU that saved it, or on a CPU."""
    config = config.with_values({"model.dropout": 0.0})
    path = tmp_path / "checkpoint.pt"
    whole, whole_seen = train(config, device="cuda")
    with pytest.raises(InterruptedError):
        train(config, make_listener(save_at=8, path=path, stop=True), device="cuda")
    rest, seen = train(config, resume=path, device=resumed_on)
    assert seen.curve("train_loss") == [
        (step, pytest.approx(loss, rel=0.05, abs=0.02)) for step, loss in whole_seen.curve("train_loss")
    ]
    assert rest.metrics["test_loss"] == pytest.approx(whole.metrics["test_loss"], rel=0.05)


@pytest.mark.long
@pytest.mark.parametrize("config", MODELS, indirect=True)
def test_a_compiled_trial_is_the_same_trial(config: FineTuneConfig, train: Callable) -> None:
    """Compare with dropout."""
    _, plain = train(config, device="cuda")
    _, seen = train(config, device="cuda", compile_model=True)
    assert seen.curve("train_loss") == [
        (step, pytest.approx(loss, rel=0.05, abs=0.02)) for step, loss in plain.curve("train_loss")
    ]


def test_pinned_batches_are_the_same(small: FineTuneConfig, digits: ImageStore) -> None:
    train = TrialData.from_store(small, digits, None).splits.train
    pairs = zip(
        train_batches(small, digits, train, range(4), pin=True),
        train_batches(small, digits, train, range(4)),
        strict=True,
    )
    for pinned, plain in pairs:
        assert pinned.images.is_pinned()
        assert torch.equal(pinned.to(torch.device("cuda")).images.cpu(), plain.images)
