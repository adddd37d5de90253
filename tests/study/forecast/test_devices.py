"""The table of devices against what was measured."""

from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.trial_flops import image_flops
from study.forecast import devices
from study.forecast.devices import CPU, DEVICES, choose_devices, devices_here, find_device

MEASURED_ON_H100 = {
    ("vit_b16_in21k", 64, 128): 0.0227,
    ("vit_b16_in21k", 128, 128): 0.0228,
    ("vit_b16_in21k", 224, 128): 0.0553,
    ("vit_b16_in21k", 384, 128): 0.1549,
    ("vit_b16_in21k", 512, 128): 0.293,
    ("bit_r50x1_in21k", 384, 128): 0.179,
    ("vit_b16_in21k", 224, 32): 0.0209,
    ("vit_cifar_scratch", 32, 128): 0.0179,
}
"""Seconds of an optimizer step by model, resolution, batch size: torch 2.11, bf16, SGD or Adam."""


@pytest.mark.parametrize("shape", MEASURED_ON_H100)
def test_a_step_on_an_h100_takes_about_as_long_as_was_measured(shape: tuple[str, int, int]) -> None:
    name, resolution, batch_size = shape
    values = {"model.name": name, "model.pretrained": False, "resolution": resolution}
    flops = image_flops(FineTuneConfig(dataset="digits", steps=1).with_values(values))
    assumed = DEVICES["h100"].assumed_step_s(flops, batch_size)
    assert assumed == pytest.approx(MEASURED_ON_H100[shape], rel=0.25)


def test_published_rates_of_training_are_met() -> None:
    """ViT-B/16 at 224 px: 1,144 images/s on an A100 (FlagPerf), 393 on an RTX 3090 (timm)."""
    flops = image_flops(FineTuneConfig(dataset="digits", steps=1, resolution=224).with_values(
        {"model.name": "vit_b16_in21k", "model.pretrained": False}
    ))  # fmt: skip
    for name, images_per_s in {"a100": 1144, "rtx3090": 393}.items():
        assert 256 / DEVICES[name].assumed_step_s(flops, 256) == pytest.approx(images_per_s, rel=0.1)


def test_every_device_of_the_table_says_where_its_numbers_are_from() -> None:
    assert [each.name for each in DEVICES.values()] == list(DEVICES)
    for each in DEVICES.values():
        assert each.source
        assert each.is_gpu == (each.memory_bytes > 0)
        assert 0 < each.convolution_mfu <= each.product_mfu <= 1
    assert DEVICES["v100"].precision == DEVICES[CPU].precision == "fp32"


def test_devices_are_recognized_by_the_names_that_torch_gives_them() -> None:
    assert DEVICES["h100"].is_called("NVIDIA H100 80GB HBM3")
    assert not DEVICES["h100"].is_called("NVIDIA H200")
    assert DEVICES[CPU].is_called("cpu")
    assert not DEVICES[CPU].is_called("")


def test_a_wrong_name_or_a_number_without_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_gpus_here", list)
    with pytest.raises(InputError, match="--gpu = 'h1000': must be one of h100, h200, a100"):
        find_device("h1000")
    with pytest.raises(InputError, match="--gpus = 8: this machine has no GPU: name one with --gpu"):
        choose_devices(None, 8)
    assert choose_devices("H100", 8) == (DEVICES["h100"], 8)
    assert choose_devices(None, None)[0] == DEVICES[CPU]


def test_the_gpus_of_this_machine_are_found_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559'\necho 'NVIDIA H100 80GB HBM3, 81559'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    device, count = devices_here()
    assert (device.name, device.memory_bytes, count) == ("h100", 81559 * 2**20, 2)
    program.write_text("#!/bin/sh\necho 'NVIDIA B300, 200000'\n")
    device, count = devices_here()
    assert "NVIDIA B300 is not in the table" in device.source
    assert (device.is_called("NVIDIA B300"), device.memory_bytes, count) == (True, 200_000 * 2**20, 1)
    program.write_text("#!/bin/sh\nexit 9\n")
    assert devices_here()[0].name == CPU
