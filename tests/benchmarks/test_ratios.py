"""Ratios of interleaved timings, as the tables show them."""

import time
from functools import partial
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.ratios import BenchmarkResult, as_markdown, format_spread, ratios, time_call, time_interleaved


def line(ratio: float, target: float | None, at_least: bool) -> BenchmarkResult:
    return BenchmarkResult(what="a", against="b", ratio=ratio, target=target, at_least=at_least, details="d")


@pytest.mark.parametrize(
    ("ratio", "target", "at_least", "met"),
    [(1.0, 1.0, True, True), (0.9, 1.0, True, False), (1.0, 1.0, False, True), (1.1, 1.0, False, False)],
)
def test_a_target_is_a_lower_or_an_upper_bound(ratio: float, target: float, at_least: bool, met: bool) -> None:
    assert line(ratio, target, at_least).met is met
    assert line(ratio, None, at_least).met is None


def test_functions_are_interleaved_in_alternating_order() -> None:
    calls: list[int] = []

    def timed(number: int) -> float:
        calls.append(number)
        return float(len(calls))

    seconds = time_interleaved(3, *(partial(timed, number) for number in range(3)))
    assert calls == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    assert seconds == [[1, 6, 7], [2, 5, 8], [3, 4, 9]]


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([2.0, 9.0], [4.0, 3.0]) == [0.5, 3.0]
    assert format_spread([1.02, 0.98, 1.1]) == "1.02 (0.98 to 1.1, n 3)"
    assert time_call(lambda: time.sleep(0.05)) >= 0.05


def test_a_table_is_appended_in_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [line(1.234, 1.0, True), line(0.5, None, False)]
    table = as_markdown("some", results)
    assert "| a | b | 1.23 | ≥ 1 | yes | d |" in table
    assert "| a | b | 0.5 |  |  | d |" in table
    monkeypatch.setattr("benchmarks.study_time.measure", lambda *, tiny: results)
    for _ in range(2):
        command.run("study_time", tiny=True, results=tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text().count("≥ 1 | yes") == 2


def test_every_benchmark_has_a_module_with_a_test() -> None:
    for name in (*command.NAMES, *command.EXPERIMENTS, *command.PAPERS):
        assert (Path(command.__file__).parent / f"{name}.py").exists()
        assert Path(__file__).with_name(f"test_{name}.py").exists()
    assert set(command.NEED_GPU) <= {*command.NAMES, *command.PAPERS}
