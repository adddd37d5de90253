"""Missing packages, small disks, low limits are found."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from study.maintenance.checks import machine
from study.maintenance.checks.machine import PACKAGE, check_devices, check_disks, check_limits, check_versions
from study.system import limits


def test_the_installed_packages_satisfy_the_requirements() -> None:
    [result] = check_versions()
    assert result.level == "ok"
    assert f"torch {torch.__version__.split('+')[0]}" in result.text


REQUIREMENTS = {
    "torch>=999": "has requirement torch>=999, but you have torch",
    "no_such_package>=1": "requires no-such-package, which is not installed",
    "timm>=999; extra == 'dev'": None,
}
"""The text of pip for each requirement."""


def test_an_unmet_requirement_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution of the project's name comes first on the path of the process that checks."""
    metadata = tmp_path / f"{PACKAGE.replace('-', '_')}-9.dist-info" / "METADATA"
    metadata.parent.mkdir()
    required = "".join(f"Requires-Dist: {requirement}\n" for requirement in REQUIREMENTS)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 9\n{required}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    errors = [each.text for each in check_versions() if each.level == "error"]
    assert [sum(text in error for error in errors) for text in REQUIREMENTS.values() if text] == [1, 1]
    assert len(errors) == 2


def test_without_pip_the_versions_are_not_called_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.py").write_text("raise ImportError('no pip here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert [each.text for each in check_versions() if each.level == "error"] == ["versions: ImportError: no pip here"]


def test_devices_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert [each.text for each in check_devices()][-1] == "devices: no GPU, trials train on CPUs"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (70_000_000_000, 80_000_000_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    cpus, *gpus = [each.text for each in check_devices()]
    assert f"{os.cpu_count()} CPUs" in cpus
    assert gpus == ["devices: cuda:0 H100, 70.0 GB of 80.0 GB free, bf16"]


def test_a_limit_that_keeps_ray_from_starting_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(check_limits()) == []
    monkeypatch.setattr(limits, "_process_limits", lambda: [("ulimit -u", 100, 90)])
    [problem] = check_limits()
    assert problem.level == "error"
    assert problem.text.startswith("processes: ulimit -u allows 100 processes")


def test_low_disk_space_is_a_warning_with_the_option_that_names_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SHARED_MEMORY", tmp_path)
    enough = machine.MIN_FREE_DISK_BYTES
    for size, levels in ((enough, ["ok"]), (enough - 1, ["warn"]), (1e6, ["warn", "warn"])):
        usage = SimpleNamespace(free=size, total=size)
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda path, usage=usage: usage)
        results = list(check_disks({"--store": tmp_path / "not" / "yet"}))
        assert [each.level for each in results] == levels
    assert "name another folder with --store" in results[0].text
    assert "--shm-size" in results[1].text
