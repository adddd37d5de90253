import sys
from pathlib import Path

import pytest
import timm
import torch

import run_study
from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.models.build import check_model
from search_spaces.framework.space import SearchSpace
from study.model_check import check_functions, check_models, check_names

SWIN = "swin_tiny_patch4_window7_224"


def space_of(*names: str, resolution: int = 224) -> SearchSpace:
    base = FineTuneConfig(dataset="digits", steps=1, resolution=resolution).with_values({"model.pretrained": False})
    return SearchSpace(name="asks", question="?", base=base, scientific={"model.name": names}, seeds=(0,))


def test_a_misspelt_model_is_named_with_those_that_are_close() -> None:
    with pytest.raises(InputError, match="'swin_tiny_patch4_windw7_224': no such model; closest: swin_tiny_patch4"):
        check_names(space_of("vit_nano", "swin_tiny_patch4_windw7_224"))
    with pytest.raises(InputError, match=r"no such model; closest: .*window7_224\.ms_in22k"):
        check_names(space_of(f"{SWIN}.ms_in22"))
    check_names(space_of("vit_nano", SWIN, f"{SWIN}.ms_in22k", "vit_base_patch16_224_in21k"))


def test_a_model_that_takes_no_images_of_this_size_is_refused_with_the_reason() -> None:
    """As timm itself refuses them, when a worker would train."""
    check_models(space_of(SWIN))
    with pytest.raises(AssertionError) as of_timm:
        timm.create_model(SWIN)(torch.zeros(1, 3, 256, 256))
    with pytest.raises(InputError) as ours:
        check_models(space_of("vit_nano", SWIN, resolution=256))
    assert str(ours.value) == f"model.name = '{SWIN}': cannot be trained at resolution = 256: {of_timm.value}"


@pytest.mark.parametrize(
    ("path", "function", "reason"),
    [("loss", "def mine(logits, targets): return logits.sum()", "must return one loss per image"),
     ("augmentation", "def mine(images, rng): return images / 2", "must return uint8 images"),
     ("loss", "def other(): pass", "cannot be imported: AttributeError")],
)  # fmt: skip
def test_a_function_of_the_user_that_does_not_work_is_refused(
    path: str, function: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{tmp_path.name}.py").write_text(function)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = FineTuneConfig(dataset="digits", steps=1).with_values({path: f"{tmp_path.name}:mine"})
    with pytest.raises(InputError, match=f":mine'?:? {reason}"):
        check_functions([FineTuneConfig(dataset="digits", steps=1), config])
    space = SearchSpace(name="asks", question="?", base=config, scientific={"hflip": (True,)}, seeds=(0,))
    with pytest.raises(InputError, match=reason):
        check_models(space)


@pytest.mark.parametrize("name", timm.list_models("test_*"))
@pytest.mark.parametrize("resolution", [48, 96])
def test_what_is_refused_is_what_cannot_be_trained(name: str, resolution: int) -> None:
    """The oracle is a real forward pass of timm's model, in training mode."""
    config = space_of(name, resolution=resolution).candidates((0,))[0].config
    in_size = {"img_size": resolution} if name.startswith("test_vit") and "relpos" not in name else {}
    model = timm.create_model(name, num_classes=5, **in_size).train()
    try:
        with torch.no_grad():
            is_trained = model(torch.zeros(2, 3, resolution, resolution)).shape == (2, 5)
    except Exception:
        is_trained = False
    if is_trained:
        check_model(config, None)
    else:
        with pytest.raises(InputError, match=f"{name}.* resolution = {resolution}"):
            check_model(config, None)


@pytest.mark.parametrize("name", ["crossvit_tiny_240", "mobilenetv5_300m_enc", "gemma4_vit_167m_enc"])
def test_what_is_no_classifier_with_one_head_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=name):
        check_models(space_of(name, resolution=240))


@pytest.mark.parametrize(
    ("axis", "value", "message"),
    [
        ("model.frozen", "first_9", "must be at most first_4, the depth of vit_nano"),
        ("model.trained", "attention", None),
        ("model.adapter", "lora", None),
        ("model.drop_path", 0.1, None),
        ("optimizer.name", "muon", None),
        ("optimizer.layer_decay", 0.75, None),
    ],
)
def test_parts_of_the_projects_own_models_are_checked(axis: str, value: object, message: str | None) -> None:
    base = FineTuneConfig(dataset="digits", steps=1)
    neutral = base.flat()[axis]
    space = SearchSpace(name="asks", question="?", base=base, scientific={axis: (neutral, value)}, seeds=(0,))
    if message is None:
        check_models(space)
    else:
        with pytest.raises(InputError, match=message):
            check_models(space)


def test_an_optimizer_that_cannot_be_used_is_named() -> None:
    """A name is refused where the study is written, a value where it is planned."""
    base = FineTuneConfig(dataset="digits", steps=1)
    for name, message in (("muonn", "no such optimizer; closest: muon"), ("adahessian", "needs second derivatives")):
        with pytest.raises(InputError, match=rf"search space asks: optimizer\.name = '{name}': {message}"):
            SearchSpace(name="asks", question="?", base=base, scientific={"optimizer.name": ("sgd", name)})
    grid = {"optimizer.name": ("sgd", "nesterov"), "optimizer.momentum": (0.5, 0.0)}
    space = SearchSpace(name="asks", question="?", base=base, scientific=grid, seeds=(0,))
    with pytest.raises(InputError, match=r"optimizer\.name = 'nesterov': cannot be built: Nesterov momentum requires"):
        check_models(space)


def test_a_function_of_the_user_is_checked() -> None:
    module = "tests.revit.models.test_networks"
    base = FineTuneConfig(dataset="digits", steps=1, normalization="inception").with_values({"model.pretrained": False})
    for name, message in ((f"{module}:small_vit", None), (f"{module}:smal_vit", "smal_vit cannot be imported")):
        space = SearchSpace(name="asks", question="?", base=base, scientific={"model.name": ("vit_nano", name)})
        if message is None:
            check_names(space)
            check_models(space)
        else:
            with pytest.raises(InputError, match=message):
                check_names(space)


def test_list_shows_a_misspelt_model_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "asks.py").write_text(
        "from revit.config import FineTuneConfig\n"
        "from search_spaces.framework.space import SearchSpace\n"
        'SPACE = SearchSpace(name="asks", question="?", base=FineTuneConfig(dataset="digits", steps=1),\n'
        '                    scientific={"model.name": ("resnet18x",)})\n'
    )
    monkeypatch.setattr(sys, "argv", ["run_study.py", "list", str(tmp_path / "asks.py"), "quickstart"])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert "model.name = 'resnet18x': no such model; closest: resnet18" in shown
    assert "quickstart" in shown
