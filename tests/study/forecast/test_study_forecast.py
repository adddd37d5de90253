"""The forecast of studies against closed forms, and of one that ran."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import search_spaces
from study.forecast.devices import DEVICES
from study.forecast.gpu_fit import CONTEXT_BYTES, WORKSPACE_BYTES
from study.forecast.study_forecast import Forecast, Forecaster, Planned
from study.plan import Folders
from tests.study.made_plans import plan_of, record_of

H100, CPU = DEVICES["h100"], DEVICES["cpu"]
PAPER = (
    "ablation_grid",
    "data_fraction",
    "domain_shift",
    "optimizer_schedule",
    "pos_embed",
    "replication",
    "resolution",
)


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


@pytest.fixture(scope="module")
def paper() -> Forecast:
    """All studies of the paper, as if nothing were on this machine."""
    studies = [Planned(search_spaces.load(name), None, ["everything"]) for name in PAPER]
    return Forecaster(H100, 8).forecast(studies, price_per_hour=3.0)


def forward_backward_gflops(resolution: int) -> float:
    """Return those of ViT-B/16: 2 FLOPs a multiplication, 2.99 times the forward pass, 100 classes."""
    patches = (resolution // 16) ** 2
    tokens = patches + 1
    block = tokens * 768 * 2304 + tokens * 768 * 768 + 2 * tokens**2 * 768 + 2 * tokens * 768 * 3072
    return 2 * 2.99 * (patches * 768 * 768 + 12 * block + 768 * 100) / 1e9


def test_flops_are_those_of_the_closed_form(paper: Forecast) -> None:
    """BiT-R50x1 has 12.01 GMACs at 384 px, and 71.4 GFLOPs forward and backward."""
    found = {(each.model, each.resolution): each.step_flops / each.batch_size / 1e9 for each in paper.shapes}
    for resolution in (64, 128, 224, 384, 512):
        assert found["vit_b16_in21k", resolution] == pytest.approx(forward_backward_gflops(resolution), rel=0.01)
    assert found["bit_r50x1_in21k", 384] == pytest.approx(71.4, rel=0.01)


def test_memory_is_as_measured_on_an_h100(paper: Forecast) -> None:
    """Peaks of PyTorch's allocator, in GB; it rounds up, and has workspaces of 64 MiB."""
    measured = {64: 1.741, 128: 3.869, 224: 9.804, 384: 26.602, 512: 46.422}
    of_vit = {
        each.resolution: each for each in paper.shapes if (each.model, each.optimizer) == ("vit_b16_in21k", "sgd")
    }
    for resolution, peak in measured.items():
        workspace = 0.067
        assert of_vit[resolution].peak_bytes / 1e9 == pytest.approx(peak - workspace, rel=0.05)
    [bit] = [each for each in paper.shapes if each.model == "bit_r50x1_in21k"]
    assert bit.peak_bytes / 1e9 == pytest.approx(37.208, rel=0.01)
    assert (bit.trials_per_device, of_vit[384].trials_per_device) == (1, 2)
    assert bit.largest_micro_batch is not None
    assert 200 < bit.largest_micro_batch < 300


def test_the_whole_is_the_sum_of_its_parts(paper: Forecast) -> None:
    cells = [cell for study in paper.studies for cell in study.cells]
    total = paper.total
    assert (
        total.trials == sum(shape.trials for shape in paper.shapes) <= sum(sum(each.trials.values()) for each in cells)
    )
    assert total.flops <= sum(cell.flops for cell in cells)
    assert total.device_seconds / 8 < total.wall_seconds < 1.1 * total.device_seconds / 8 + 60
    assert total.price == pytest.approx(8 * 3.0 * total.wall_seconds / 3600)
    assert total.assumed == 1
    assert len(paper.blocked) == len(PAPER)


def test_more_devices_need_less_time(folders: Folders) -> None:
    plan = plan_of(folders)
    studies = [Planned(plan.space, plan)]
    walls = [Forecaster(CPU, count, start_s=0).forecast(studies).total.wall_seconds for count in (1, 2, 4)]
    assert walls[0] == pytest.approx(2 * walls[1]) == pytest.approx(4 * walls[2])


def test_cells_count_their_trials_by_state(folders: Folders) -> None:
    plan = plan_of(folders)
    first, second, *_ = plan.trials
    records = {first.identity: record_of(first), second.identity: record_of(second)}
    planned = plan_of(folders, records)
    forecast = Forecaster(CPU, 2).forecast([Planned(planned.space, planned)])
    [study] = forecast.studies
    assert [cell.trials for cell in study.cells] == [{"finished": 1, "new": 1}] * 2
    assert [cell.values for cell in study.cells] == [{"optimizer.lr": "0.1"}, {"optimizer.lr": "0.2"}]
    assert [cell.steps for cell in study.cells] == [5, 5]
    assert forecast.total.trials == 2


def test_a_finished_study_needs_nothing(folders: Folders) -> None:
    plan = plan_of(folders)
    planned = plan_of(folders, {trial.identity: record_of(trial) for trial in plan.trials})
    total = Forecaster(CPU, 2).forecast([Planned(planned.space, planned)]).total
    assert (total.trials, total.wall_seconds, total.device_seconds, total.disk_bytes) == (0, 0, 0, 0)


def test_what_does_not_fit_a_device_is_said(folders: Folders) -> None:
    plan = plan_of(folders)
    [one] = Forecaster(replace(H100, memory_bytes=10**9), 1).forecast([Planned(plan.space, plan)]).shapes
    assert one.largest_micro_batch is not None
    small = replace(H100, memory_bytes=CONTEXT_BYTES + WORKSPACE_BYTES + one.peak_bytes)
    [line] = Forecaster(small, 1).forecast([Planned(plan.space, plan)]).blocked
    assert "vit_nano at 8 px, batches of 128, sgd: fits in micro-batches of" in line
    [line] = Forecaster(replace(H100, memory_bytes=10**6), 1).forecast([Planned(plan.space, plan)]).blocked
    assert line.endswith("not even one image fits the device's memory")


def test_an_estimate_of_a_launch_is_the_forecast_of_its_plans(folders: Folders) -> None:
    plan = plan_of(folders)
    forecaster = Forecaster(CPU, 2)
    total, estimate = forecaster.forecast([Planned(plan.space, plan)]).total, forecaster.estimate([plan])
    assert estimate == {
        "wall_s": total.wall_seconds,
        "device_s": total.device_seconds,
        "peak_bytes": total.peak_bytes,
        "start_s": 15.0,
    }


def fields_of(value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all fields of a JSON value, as docs/plan.md names them; objects of numbers are one field."""
    open_ended = ("values", "trials")
    if isinstance(value, dict) and path.rpartition(".")[2] not in open_ended:
        for name, each in value.items():
            yield from fields_of(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in value:
            yield from fields_of(each, f"{path}[]")
    else:
        yield path


def test_the_json_is_as_documented(paper: Forecast) -> None:
    page = (Path(__file__).parents[3] / "docs" / "plan.md").read_text().partition("## JSON")[2]
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    documented = [name.strip("` ") for row in rows for name in row.removeprefix("| ").split(", ")]
    assert set(fields_of(paper.to_json())) == set(documented)
    assert len(documented) == len(set(documented))
