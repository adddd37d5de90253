"""Scales: what the nano scale makes of a config."""

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from search_spaces.framework.scales import SCALES
from search_spaces.framework.scales import nano as shrink
from search_spaces.framework.space import SearchSpace


def nano(config: FineTuneConfig) -> FineTuneConfig:
    """Return a config at the nano scale of a study without proxies of its own."""
    return shrink(config, {})


PAPER = FineTuneConfig(dataset="cifar10", resolution=224, steps=500).with_values({"model.name": "vit_b16_in21k"})


@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize("name", [name for name in search_spaces.names_in() if search_spaces.load(name).base is None])
def test_the_nano_scale_needs_no_download(name: str, recipe: str) -> None:
    for each in search_spaces.load(name).variant(scale="nano", recipe=recipe).candidates((0,)):
        assert not DATASETS[each.config.dataset].files
        assert each.config.model.name in ("vit_nano", "bit_nano")
        assert each.config.resolution <= 64


@pytest.mark.parametrize(("steps", "num_steps"), [(500, 36), (2500, 80), (10_000, 160)])
def test_nano_steps_shrink_and_warmup_keeps_its_share(steps: int, num_steps: int) -> None:
    small = nano(PAPER.with_values({"steps": steps, "schedule.warmup": steps // 10}))
    assert small.steps == num_steps
    assert small.schedule.warmup == round(num_steps / 10)


def test_nano_learning_rates_grow_where_a_trial_fine_tunes() -> None:
    scratch = PAPER.with_values({"model.pretrained": False})
    assert nano(PAPER).optimizer.lr == pytest.approx(10 * PAPER.optimizer.lr)
    assert nano(scratch).optimizer.lr == scratch.optimizer.lr


def test_nano_configs_stay_at_the_nano_scale() -> None:
    small = nano(PAPER)
    again = nano(small)
    assert (again.dataset, again.model.name, again.resolution) == (small.dataset, small.model.name, small.resolution)
    assert SCALES["paper"].shrink(PAPER, {}) == PAPER


def test_values_without_a_nano_proxy_are_named() -> None:
    space = SearchSpace(
        name="example", question="?", fixed={"dataset": "cifar10"}, scientific={"resolution": (160,)}, seeds=(0,)
    )
    with pytest.raises(InputError, match="resolution = 160: it has no proxy at the nano scale"):
        space.variant(scale="nano")


def test_a_study_brings_proxies_of_its_own() -> None:
    space = SearchSpace(
        name="example", question="?", fixed={"dataset": "fashion_mnist", "resolution": 224}, seeds=(0,),
        scientific={"model.name": ("vit_b16_in21k", "resnet18")},
        proxies={"model.name": {"vit_b16_in21k": "bit_nano", "resnet18": "vit_nano"},
                 "dataset": {"fashion_mnist": "faces"}},
    )  # fmt: skip
    configs = [each.config for each in space.variant(scale="nano").candidates((0,))]
    assert [(each.model.name, each.dataset, each.resolution) for each in configs] == [
        ("bit_nano", "faces", 28), ("vit_nano", "faces", 28)
    ]  # fmt: skip
    assert nano(PAPER).model.name == "vit_nano", "of no other study"


@pytest.mark.parametrize(
    "parts",
    [
        {"proxies": {"steps": {500: 5}}},
        {"proxies": {"resolution": 8}},
        {"proxies": {"resolution": {224: 8}}, "base": PAPER},
    ],
)
def test_wrong_proxies_are_refused(parts: dict[str, object]) -> None:
    with pytest.raises(
        InputError,
        match=r"proxies = .*: must be a value for each value, by dataset, model\.name, resolution, and only where",
    ):
        SearchSpace(
            name="example", question="?", scientific={"hflip": (True,)}, **{"fixed": {"dataset": "cifar10"}, **parts}
        )


SHIFTED = PAPER.with_values({"test_sets": ("cifar10.1", "stl10")})


def test_further_test_sets_have_proxies_of_the_study() -> None:
    """Both have the same one, which is tested once."""
    proxies = {"dataset": {"cifar10.1": "digits", "stl10": "digits"}}
    assert shrink(SHIFTED, proxies).test_sets == ("digits",)
    with pytest.raises(InputError, match=r"test_sets = 'cifar10\.1': it has no proxy at the nano scale"):
        nano(SHIFTED)
    own = FineTuneConfig(dataset="digits", resolution=28, steps=500, test_sets=("mnist_5k",))
    assert nano(own).test_sets == ("mnist_5k",)
    with pytest.raises(InputError, match="digits stands twice"):
        shrink(SHIFTED.with_values({"dataset": "flowers102"}), proxies)
