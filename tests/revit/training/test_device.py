from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode

from revit.budget import Budget
from revit.config import FineTuneConfig
from revit.datasets.batches import Batch
from revit.datasets.mixing import Mix
from revit.models.build import build_model, empty_model
from revit.training.batch_loss import summed_loss
from revit.training.device import to_device
from revit.training.fine_tune import train_step
from revit.training.optimizers import build_optimizer
from revit.training.schedules import Schedule
from revit.training.train_state import TrainState

CPU = torch.device("cpu")


def config_of(model: str, optimizer: str = "sgd") -> FineTuneConfig:
    config = FineTuneConfig(dataset="digits", steps=2, batch_size=8, micro_batch=3, mixup=0.4)
    return config.with_values({"model.name": model, "model.pretrained": False, "optimizer.name": optimizer})


def without_content(model: nn.Module, device: torch.device) -> None:
    """Replace the parameters of a model by tensors without content on a device."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, device=device)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "nesterov", "adagrad"])
def test_the_optimizer_of_parameters_on_a_gpu_is_fused(optimizer: str) -> None:
    config = config_of("vit_nano", optimizer)
    network = empty_model(config, 10)
    with FakeTensorMode():
        without_content(network, torch.device("cuda"))
        groups = build_optimizer(network, config.optimizer).param_groups
    assert [group["fused"] for group in groups] == [True] * len(groups)


def test_on_a_cpu_nothing_changes() -> None:
    model = build_model(config_of("bit_nano"), 10, None)
    precision = torch.get_float32_matmul_precision()
    assert to_device(model, CPU) is model
    assert torch.get_float32_matmul_precision() == precision
    assert build_optimizer(model, config_of("bit_nano").optimizer).param_groups[0]["fused"] is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_of_another_device_keeps_this_devices_kernel(tmp_path: Path, optimizer: str) -> None:
    """Saved on a CPU, loaded where the kernel is fused, as on a GPU."""
    config = config_of("bit_nano", optimizer)
    path = tmp_path / "checkpoint.pt"
    schedule = Schedule(config.schedule, 0.1, Budget(2, 1, 0, (2,)))
    saved, loaded = (build_model(config, 10, None) for _ in range(2))
    before = TrainState(saved, build_optimizer(saved, config.optimizer), schedule)
    batch = Batch(torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8), torch.arange(8))
    train_step(saved, before.optimizer, batch, 0.1, config.with_values({"mixup": 0.0}), CPU)
    before.save(path)

    after = TrainState(loaded, build_optimizer(loaded, config.optimizer), schedule)
    for group in after.optimizer.param_groups:
        group["fused"] = True
    after.load(path)
    assert all(group["fused"] is True for group in after.optimizer.param_groups)
    for (name, own), other in zip(loaded.named_parameters(), saved.parameters(), strict=True):
        assert torch.equal(own, other), name
        for key, value in after.optimizer.state[own].items():
            assert torch.equal(value, before.optimizer.state[other][key]), name
    train_step(loaded, after.optimizer, batch, 0.1, config.with_values({"mixup": 0.0}), CPU)


def with_backend(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """Compile with another backend than Inductor, which takes a minute."""
    compile_with = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **_: compile_with(model, dynamic=False, backend=backend))


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "adapter", ["none", *(pytest.param(each, marks=pytest.mark.long) for each in ("lora", "dora", "ia3"))]
)
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # of torch itself, where it splits the graph of DoRA
def test_a_compiled_trial_is_the_same_trial_and_resumes_without_compilation(
    small: FineTuneConfig,
    train: Callable,
    tmp_path: Path,
    make_listener: Callable,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    adapter: str,
) -> None:
    """The curve is equal to rounding, with dropout and a smaller last batch; the checkpoint has the same names."""
    if backend != "inductor":
        with_backend(monkeypatch, backend)
    config = small.with_values({"model.dropout": 0.2, "data_fraction": 0.05, "model.adapter": adapter})
    config = config.with_values({"model.drop_path": 0.0 if adapter == "none" else 0.2})
    path = tmp_path / "checkpoint.pt"
    plain, plain_seen = train(config)
    done, seen = train(config, make_listener(save_at=8, path=path), compile_model=True)
    assert seen.built == plain_seen.built
    assert list(done.model.state_dict()) == list(plain.model.state_dict())
    rest, rest_seen = train(config, resume=path)
    for result, listener in ((done, seen), (rest, rest_seen)):
        for name in ("train_loss", "grad_norm", "val_loss"):
            assert listener.curve(name) == [
                (step, pytest.approx(value, rel=1e-3)) for step, value in plain_seen.curve(name)
            ]
        assert result.metrics["test_loss"] == pytest.approx(plain.metrics["test_loss"], rel=1e-3)


def test_training_steps_are_compiled(small: FineTuneConfig, train: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[nn.Module, dict[str, object]]] = []

    def compile_none(model: nn.Module, **options: object) -> nn.Module:
        calls.append((model, options))
        return model

    monkeypatch.setattr(torch, "compile", compile_none)
    train(small)
    assert calls == []
    result, _ = train(small, compile_model=True)
    [(model, options)] = calls
    assert model is result.model
    assert options["options"] == {"fallback_random": True}, "the dropout of eager mode"


ONE_GRAPH = {"vit_nano": 28, "bit_nano": 28, "test_convnext": 64, "test_efficientnet": 64}
"""Models that compile into one graph, with a resolution: a ViT, a BiT, and small ones of two families of timm."""
LONG_GRAPH = {
    "test_resnet": 64, "vit_b16_in21k": 224, "bit_r50x1_in21k": 224, "convnext_tiny": 224,
    "swin_tiny_patch4_window7_224": 224, "efficientnet_b0": 224, "resnet50": 224,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "resolution"),
    [*ONE_GRAPH.items(), *(pytest.param(*each, marks=pytest.mark.long) for each in LONG_GRAPH.items())],
)
def test_forward_loss_and_backward_compile_into_one_graph(name: str, resolution: int) -> None:
    """Without a graph break, at which a GPU would wait for Python. The loss and its gradients are those of eager."""
    values = {"model.name": name, "resolution": resolution, "batch_size": 4, "label_smoothing": 0.1}
    config = config_of("vit_nano").with_values(values)
    model = build_model(config.with_values({"model.head_init": "torch"}), 10, None).train()
    images, labels, mix = (
        torch.randn(4, 3, resolution, resolution),
        torch.arange(4),
        Mix(torch.tensor([3, 2, 1, 0]), 0.3),
    )

    def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return summed_loss(config, model(images).float(), labels, slice(0, 4), mix) / 4

    torch.compiler.reset()
    counters.clear()
    compiled = torch.compile(loss_of, fullgraph=True, dynamic=False, backend="aot_eager")
    losses, gradients = [], []
    for compute in (loss_of, compiled):
        model.zero_grad()
        loss = compute(images, labels)
        loss.backward()
        losses.append(loss.item())
        gradients.append([each.grad for each in model.parameters()])
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for ours, eager in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, eager, rtol=1e-3, atol=1e-5)
