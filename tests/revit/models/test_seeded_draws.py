"""Draws from a generator of one's own, against the default generator with the same seed."""

import threading

import pytest
import torch
from torch import Tensor, nn

from revit.config import FineTuneConfig, ModelConfig
from revit.models.build import build_model
from revit.models.seeded_draws import SeededDraws, _with_generator


def draw() -> list[Tensor]:
    """Draw by operators that take a generator, and by those that have an overload with one."""
    weight = torch.empty(3, 4)
    in_place = [weight.normal_(std=2), weight.uniform_(-1, 1), weight.exponential_(), weight.bernoulli_(0.5)]
    drawn = [torch.randn(3), torch.rand(2), torch.randperm(5), torch.randint(9, (3,)), torch.randint(2, 9, (3,))]
    drawn += [torch.rand_like(weight), torch.randint_like(weight, 9), torch.randint_like(weight, 2, 9)]
    drawn += [torch.rand(2, out=torch.empty(2)), torch.randint(2, 9, (3,), out=torch.empty(3, dtype=torch.int64))]
    other = [torch.bernoulli(torch.full((4,), 0.5)), torch.normal(0.0, 1.0, (2,)), torch.multinomial(torch.ones(5), 2)]
    layer = nn.Linear(3, 2)
    nn.init.trunc_normal_(weight)
    return [each.clone() for each in (*in_place, *drawn, *other, layer.weight, layer.bias, weight)]


def test_draws_are_those_of_the_default_generator_with_that_seed_which_stays_as_it_is() -> None:
    torch.manual_seed(3)
    expected = draw()
    before = torch.default_generator.get_state()
    with SeededDraws(3):
        drawn = draw()
    assert all(torch.equal(one, other) for one, other in zip(drawn, expected, strict=True))
    assert torch.equal(torch.default_generator.get_state(), before)


def test_a_generator_that_is_given_is_used_and_other_devices_draw_nothing() -> None:
    given = torch.rand(2, generator=torch.Generator().manual_seed(5))
    with SeededDraws(3):
        assert torch.equal(torch.rand(2, generator=torch.Generator().manual_seed(5)), given)
        assert torch.rand(2, device="meta").is_meta
        assert torch.empty(2, device="meta").normal_().is_meta
        after = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(2))


def test_an_operator_that_cannot_draw_from_the_generator_is_refused() -> None:
    """Rather than drawn from the default one: no model of timm uses such an operator to initialize itself."""
    with (
        SeededDraws(3),
        pytest.raises(NotImplementedError, match=r"^aten\.native_dropout\S* draws random numbers, and takes no gener"),
    ):
        torch.native_dropout(torch.ones(3), 0.5, train=True)


def test_every_operator_that_draws_is_drawn_with_the_generator_or_refused() -> None:
    """By the tags of PyTorch: those without a generator are dropout, attention and recurrent layers."""
    names = [name.removeprefix("aten::") for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    packets = {getattr(torch.ops.aten, name.partition(".")[0], None) for name in names} - {None}
    operators = [getattr(packet, name) for packet in packets for name in packet.overloads()]
    drawing = [each for each in operators if torch.Tag.nondeterministic_seeded in each.tags]
    assert len(drawing) > 100
    without = {str(each).split(".")[1] for each in drawing if _with_generator(each) is None}
    allowed = ("dropout", "attention", "sdp", "rnn", "lstm", "gru", "softmax")
    assert [name for name in without if not any(part in name for part in allowed)] == []


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_a_model_that_is_built_in_a_thread_changes_no_draw_of_another(adapter: str) -> None:
    model = ModelConfig(name="vit_nano", pretrained=False, head_init="trunc_normal", adapter=adapter)
    config = FineTuneConfig(dataset="digits", resolution=8, steps=1, model=model, seed=4)
    expected = build_model(config, 10, None).state_dict()
    torch.manual_seed(7)
    undisturbed = torch.rand(1000)
    built: list[nn.Module] = []
    thread = threading.Thread(target=lambda: built.append(build_model(config, 10, None)))
    torch.manual_seed(7)
    thread.start()
    drawn = torch.cat([torch.rand(1) for _ in range(1000)])
    thread.join()
    assert torch.equal(drawn, undisturbed)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in built[0].state_dict().items())
