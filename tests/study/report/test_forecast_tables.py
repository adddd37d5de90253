"""The forecast as a person reads it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from study.forecast.devices import DEVICES
from study.forecast.study_forecast import DeviceForecast, Forecast, ShapeForecast, StudyForecast, TotalForecast
from study.report.forecast_tables import forecast_lines, forecast_tables, format_flops, format_seconds

SHAPE = ShapeForecast(
    model="vit", resolution=224, batch_size=128, micro_batch=64, optimizer="sgd", trained="lora of all",
    precision="bf16", trials=7, step_flops=13.5e12, step_s=0.0554, rate="assumption", peak_bytes=9_600_000_000,
    memory="traced", largest_micro_batch=1066, trials_per_device=7,
)  # fmt: skip
TOTAL = TotalForecast(
    trials=7, steps=70_000, flops=1.33e18, device_seconds=7200, wall_seconds=3720, price=24.8, disk_bytes=5 * 10**9,
    free_bytes=None, host_memory_bytes=7_200_000_000, peak_bytes=9_600_000_000, assumed=0.5,
)  # fmt: skip
DEVICE = DeviceForecast(name="h100", count=8, memory_bytes=1, peak_flops=1e15, source=DEVICES["h100"].source)
FORECAST = Forecast(device=DEVICE, studies=[], shapes=[SHAPE], total=TOTAL, blocked=["s: missing dataset d"])


def test_the_lines_say_time_money_memory_and_what_cannot_run() -> None:
    lines = forecast_lines(FORECAST)
    assert lines[:2] == [
        "to train: 7 trials, 70,000 optimizer steps, 1.33 EFLOP",
        "time: 1 h 2 min on 8 x h100, one trial on each at a time; device time: 2 h 0 min",
    ]
    assert lines[2].startswith("  an assumption for 50% of it: peaks: NVIDIA's data sheet")
    assert lines[3:] == [
        "price: 24.80",
        "memory: up to 9.6 GB in a trial, 7.2 GB of host memory; disk: 5.0 GB for models and checkpoints",
        "cannot run as it is: s: missing dataset d",
    ]


def test_the_lines_say_what_each_study_keeps_and_what_is_free() -> None:
    study = StudyForecast(
        study="s", recipe=None, scale=None, missing=[], cells=[], keep_models="best", kept_models=8, kept_bytes=10**9
    )
    lines = forecast_lines(replace(FORECAST, studies=[study], total=replace(TOTAL, free_bytes=3 * 10**11)))
    assert lines[4].endswith("disk: 5.0 GB for models and checkpoints, 300.0 GB free")
    assert lines[5] == "models kept of s (best): 8, 1.0 GB"


def test_the_table_has_a_row_per_shape_and_says_where_numbers_are_from() -> None:
    console = Console(file=io.StringIO(), width=200)
    for each in forecast_tables(FORECAST):
        console.print(each)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("vit (lora of all)", "128 by 64", "13.5 TFLOP", "0.0554", "9.6 GB", "1066", "assumption", "traced"):
        assert text in printed
    assert "assumption: from the table of devices; traced: counted in one step on fake tensors" in printed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s"), (12_000, "3 h 20 min"), (90_000, "25 h 0 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_flops_have_prefixes() -> None:
    assert [format_flops(each) for each in (1.33e18, 2e15, 3.5e12, 4e9, 5e6)] == [
        "1.33 EFLOP", "2 PFLOP", "3.5 TFLOP", "4 GFLOP", "5 MFLOP",
    ]  # fmt: skip
