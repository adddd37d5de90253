"""The paper's studies at paper scale, on synthetic inputs in the formats of the published files.

`python -m pytest tests/test_paper_scale.py -m long -s` rehearses all of them; docs/reproduce.md has its result.
"""

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from rich.filesize import decimal

from revit.models.architectures import MODELS
from study import api
from study.execution.rehearsal import shapes_of
from study.forecast.gpu_fit import RESERVED_SHARE, WORKSPACE_BYTES
from study.ledger.ledger import Ledger
from tests.command_line import call_here
from tests.paper_inputs import VIT_B16, WEIGHTS, write_datasets, write_weights
from tests.revit.models.jax_arrays import num_values

MAX_BATCH = 2
NUM_SHAPES = 35
"""Distinct shapes of all trials of the studies."""
SHAPE = ("model", "resolution", "batch_size", "micro_batch", "optimizer", "trained", "precision")
"""Fields by which the shapes of a plan differ."""


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that name the studies at paper scale, and folders with all that they need but weights."""
    write_datasets(tmp_path / "data", monkeypatch)
    monkeypatch.setenv("REVIT_WEIGHTS_DIR", "")
    folders = {"store": "mlruns", "data-dir": "data", "cache-dir": "cache", "weights-dir": "weights"}
    named = [option for key, name in folders.items() for option in (f"--{key}", str(tmp_path / name))]
    return ["all", "--scale", "paper", *named]


@pytest.mark.usefixtures("inputs")
def test_every_trial_can_be_planned(tmp_path: Path) -> None:
    """All files are read, and each fraction of each dataset has every class."""
    write_weights(tmp_path / "weights", in_full=False)
    folders = api.make_folders(str(tmp_path / "mlruns"), tmp_path / "data", tmp_path / "weights", tmp_path / "cache")
    plans = [api.plan_study(space, folders, {}) for space in api.load_studies("all")]
    trials = [trial for plan in plans for trial in plan.to_check]
    assert {trial.candidate.config.dataset for trial in trials} == {
        "cifar10", "cifar100", "flowers102_nelorth", "brain_tumor_mri", "plant_health", "weapons",
    }  # fmt: skip
    assert len(shapes_of(trials, MAX_BATCH)) == NUM_SHAPES


@pytest.mark.parametrize(
    ("file", "model", "width"),
    [
        ("ViT-B_16", "vit_b16_in21k", VIT_B16.width),
        ("vit_b16_in21k_ft_in1k", "vit_b16_in21k_ft_in1k", VIT_B16.width),
        ("BiT-M-R50x1", "bit_r50x1_in21k", 2048),
    ],
)
def test_the_weights_have_full_size(file: str, model: str, width: int) -> None:
    spec = MODELS[model]
    assert f"{file}.npz" in (*spec.weight_files, f"{model}.npz")
    backbone = [shape for name, shape in WEIGHTS[file].items() if "head/" not in name and "pre_logits/" not in name]
    assert num_values(backbone) == spec.num_params - 10 * (width + 1)


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_all_studies_rehearse(inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a GPU in whole batches, several at a time, each behind a fence by its estimate; on a CPU in small batches."""
    is_on_gpu = torch.cuda.is_available()
    write_weights(tmp_path / "weights")
    same_batches = [] if is_on_gpu else ["--set", f"batch_size={MAX_BATCH}"]
    traced = planned_memory(call_here("plan", *inputs, "--json", *same_batches).stdout)
    with capsys.disabled():
        begun_s = time.monotonic()
        limits = ["--gpus-per-trial", "auto"] if is_on_gpu else ["--max-batch", str(MAX_BATCH)]
        ended = call_here("rehearse", *inputs, *limits)
        minutes = (time.monotonic() - begun_s) / 60
        print(ended.stdout, ended.stderr)
    lines = re.findall(r"^\d+/\d+  (\w+)  (\w+) ", ended.stdout, flags=re.MULTILINE)
    assert [result for result, _ in lines] == ["passed"] * NUM_SHAPES
    assert ended.returncode == 0

    ledger = Ledger(tmp_path / "mlruns")
    kept = ledger.rehearsals.read()
    assert len(kept) == NUM_SHAPES
    assert ledger.trials() == {}
    peak = max(each.peak_memory_bytes or 0 for each in kept)
    as_rehearsed = call_here("plan", *inputs, "--json", *same_batches).stdout
    measured = planned_memory(as_rehearsed)
    shares = {shape: round(measured[shape] / traced[shape], 3) for shape in traced}
    with capsys.disabled():
        print(f"{minutes:.0f} minutes, up to {decimal(round(peak))} in a process")
        print(*(f"{study}: {number}" for study, number in Counter(study for _, study in lines).items()), sep="\n")
        print("memory, by the estimate:", *(f"{share}  {shape}" for shape, share in shares.items()), sep="\n")

    assert set(re.findall(r'"(?:rate|memory)": "(\w+)"', as_rehearsed)) == {"rehearsal"}
    if is_on_gpu:
        assert all(measured[shape] <= RESERVED_SHARE * traced[shape] + WORKSPACE_BYTES for shape in traced)
    else:
        planned = call_here("plan", *inputs, "--json").stdout
        assert set(re.findall(r'"rate": "(\w+)"', planned)) == {"scaled"}, "from the rate of smaller batches"


def planned_memory(plan: str) -> dict[tuple[object, ...], int]:
    """Return the expected peak memory of each shape, in bytes, from `plan --json`."""
    shapes = json.loads(plan)["shapes"]
    return {tuple(shape[name] for name in SHAPE): shape["peak_bytes"] for shape in shapes}
