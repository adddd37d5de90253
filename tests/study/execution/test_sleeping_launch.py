"""Launches on real Ray with four fake GPUs, whose trials do nothing: in which order they start, how long it takes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.study.execution.sleeping_launch import NUM_GPUS, STUDIES, TOO_LARGE

Event = dict[str, Any]
MAX_LAUNCH_S = 140.0
"""Seconds of a launch that usually takes 20, also on a busy machine."""


def launch(folder: Path, studies: str, s_per_step: float) -> list[Event]:
    """Return what trials did, in order.

    Ray can leak the resources of a placement group that it removed (ray-project/ray 64693). A trial that needs its node
    to itself then never starts, so a launch that does not end is tried again, once.
    """
    try:
        return _launch(folder / "first", studies, s_per_step, timeout_s=MAX_LAUNCH_S)
    except subprocess.TimeoutExpired:
        return _launch(folder / "second", studies, s_per_step, timeout_s=None)


def _launch(folder: Path, studies: str, s_per_step: float, timeout_s: float | None) -> list[Event]:
    folder.mkdir()
    module = "tests.study.execution.sleeping_launch"
    command = [sys.executable, "-m", module, str(folder), studies, str(s_per_step)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert set(result["states"]) == {"finished"}
    assert result["stop_reason"] == ""
    return [json.loads(line) for line in (folder / "events").read_text().splitlines()]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """Events of fifteen trials, of which one needs its node to itself."""
    return launch(tmp_path_factory.mktemp("launch"), "known", 0)


def of(events: list[Event], what: str) -> list[Event]:
    return [event for event in events if event["what"] == what]


def wide_one(events: list[Event]) -> tuple[int, int, int]:
    """Return when the large trial ran out of memory, when it started with its node to itself, and when it ended."""
    return tuple(index for index, event in enumerate(events) if event["steps"] == TOO_LARGE)[1:]  # type: ignore[return-value]


def test_the_longest_trials_start_first(events: list[Event]) -> None:
    """On a busy machine, those that are handed out at the same time start in any order."""
    started = [event for event in of(events, "start") if not event["exclusive"]]
    steps = [event["steps"] for event in started]
    assert len(steps) == 15
    for index, own in enumerate(steps):
        assert sum(other > own for other in steps[index:]) < NUM_GPUS


def test_each_gpu_has_one_trial_at_a_time_and_none_is_idle_while_trials_wait(events: list[Event]) -> None:
    """Until one is too large, no trial ends before every GPU has one."""
    failed, *_ = wide_one(events)
    assert not of(events, "waited in vain")
    for gpu in map(str, range(NUM_GPUS)):
        own = [event["what"] for event in events if event.get("gpu") == gpu]
        assert own == ["start", "end"] * (len(own) // 2)
    workers = {event["pid"] for event in events[:failed]}
    assert len(workers) <= NUM_GPUS, "each is used again"


def test_a_wide_trial_that_comes_late_has_its_turn_before_narrow_ones_that_wait(events: list[Event]) -> None:
    failed, started, ended = wide_one(events)
    assert events[started]["exclusive"]
    assert len(of(events[failed:started], "start")) <= NUM_GPUS, "those that Tune had already"
    assert started + 1 == ended, "nothing else runs meanwhile"
    assert len(of(events[ended:], "start")) >= 3, "those that waited"
    before = events[:started]
    assert len(of(before, "start")) == len(of(before, "end"))


@pytest.mark.long
def test_known_and_searched_trials_take_a_tenth_more_than_the_lower_bound_at_most(tmp_path: Path) -> None:
    s_per_step = 0.004
    events = launch(tmp_path, "known,searched", s_per_step)
    steps = [event["steps"] for event in of(events, "start")]
    assert len(steps) == 15 + 2 * 3 + 2 * 2
    chain = 2 * STUDIES["searched"].base.steps  # type: ignore[union-attr, operator]
    bound_s = s_per_step * max(sum(steps) / NUM_GPUS, chain, *steps)
    share = (events[-1]["at"] - events[0]["at"]) / bound_s
    print(f"{share:.3f} of the lower bound of {bound_s:.0f} s")
    assert share <= 1.1
