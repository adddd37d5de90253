"""Cost of a trial for the driver in launches of up to 10,000, time of commands on a store of as many.

    python -m benchmarks scale

All launches have the queue, the locks, Tune's loop, the ledger. Their trials train nothing: they write their files and
report twice, or more often.

- Those on 1 and 8 nodes run on Ray. The nodes are raylets on this machine, with a CPU each.
- Those on 64 and 800 have fake actors (`instant_actors`): 64 raylets with their workers take 25 GB.

Code is not shipped, and nodes are not probed. A trial's overhead counts from when the workers have started to the end
of the launch. Processor times are compared, as the machine may be shared; wall times stand beside them.
"""

import gc
import io
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import ray
from ray.cluster_utils import Cluster
from rich.console import Console

import search_spaces
from benchmarks import report
from benchmarks.instant_actors import Updates, instant_actors
from benchmarks.overhead import run_apart
from benchmarks.ratios import BenchmarkResult
from benchmarks.studies import made_up, short
from search_spaces.framework.space import SearchSpace
from study.cli.main import GC_THRESHOLDS
from study.execution.cluster import QUIET_RAY
from study.execution.progress import StudyProgress
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.execution.trial_task import TrialTask
from study.layout import ARTIFACTS, NEEDED_FILES
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan

COUNTS = (1_000, 5_000, 10_000)
RAY_COUNT = 3_000
"""Most trials of a launch on Ray: with 10,000, workers on two cores take half an hour."""
RAY_NODES = (1, 8)
NODES, MORE_NODES = 64, 800
NUM_WARMUP_TRIALS = 200
NUM_REPORTS, MORE_REPORTS = 2, 12
MAX_OF_FEW = 1.3
MAX_BYTES = 1.5e9
MAX_RESUME_S, MAX_COMMAND_S = 15.0, 20.0


class Moment(NamedTuple):
    """State of the driver at the end of a trial.

    Attributes:
        num_ended: trials that have ended.
        wall_s: clock.
        processor_s: processor time of the driver.
        main_s: of its main thread.
        stored_bytes: used of Ray's object stores.
    """

    num_ended: int
    wall_s: float
    processor_s: float
    main_s: float
    stored_bytes: float


class LaunchCost(NamedTuple):
    """Cost of a launch, in seconds per trial.

    Attributes:
        wall_s: from when the workers have started to the end of the launch.
        processor_s: of the driver, in that time.
        main_s: of its main thread: Tune's loop, the queue. The others write the ledger, acquire locks, talk to Ray.
        peak_bytes: of the driver.
        stored_bytes: used of Ray's object stores after the last trial.
    """

    wall_s: float
    processor_s: float
    main_s: float
    peak_bytes: int
    stored_bytes: float


class StoreCost(NamedTuple):
    """Seconds of commands on a store of finished trials: of the wall clock, and of processors."""

    num_trials: int
    resume: tuple[float, float]
    plan: tuple[float, float]
    report: tuple[float, float]


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure launches, each in a process of its own, then commands; if tiny, launches of few trials in this one."""
    if tiny:
        launches = {(count, 4): launch_trials(count, 4, is_simulated=True, num_warmup=1) for count in (2, 3)}
        launches[2, 1] = launch_trials(2, 0, num_warmup=1)
        store = measure_store(short.__file__, 2)
        return [*compare_counts(launches, 4), *compare_nodes(launches, 2), *time_commands(store)]
    launch = partial(run_apart, launch_trials)
    on_ray = {(COUNTS[0], nodes): launch(COUNTS[0], nodes) for nodes in RAY_NODES}
    on_ray[RAY_COUNT, RAY_NODES[-1]] = launch(RAY_COUNT, RAY_NODES[-1])
    simulate = partial(run_apart, partial(launch_trials, is_simulated=True))
    simulated = {(count, NODES): simulate(count, NODES) for count in COUNTS}
    more_nodes, more_reports = simulate(COUNTS[0], MORE_NODES), simulate(COUNTS[0], NODES, MORE_REPORTS)
    return [
        *compare_counts(on_ray, RAY_NODES[-1]),
        *compare_counts(simulated, NODES),
        *compare_nodes({**on_ray, **simulated, (COUNTS[0], MORE_NODES): more_nodes}, COUNTS[0]),
        compare_reports(simulated[COUNTS[0], NODES], more_reports),
        *time_commands(run_apart(measure_store, made_up.__file__, COUNTS[-1])),
    ]


def compare_counts(launches: Mapping[tuple[int, int], LaunchCost], nodes: int) -> list[BenchmarkResult]:
    """Compare launches of more trials with the one of the fewest, on as many nodes."""
    (few, base), *others = sorted((count, cost) for (count, each), cost in launches.items() if each == nodes)
    lines = [
        BenchmarkResult(
            what=f"processor time of the driver per trial, {count:,} trials on {_nodes(nodes)}",
            against=f"of {few:,} trials",
            ratio=cost.processor_s / base.processor_s,
            target=MAX_OF_FEW,
            at_least=False,
            details=f"{_describe(cost)}; against {_describe(base)}",
        )
        for count, cost in others
    ]
    count, most = max((count, cost) for (count, each), cost in launches.items() if each == nodes)
    memory = BenchmarkResult(
        what=f"peak memory of the driver, {count:,} trials on {_nodes(nodes)}",
        against=f"{MAX_BYTES / 1e9:.1f} GB",
        ratio=most.peak_bytes / MAX_BYTES,
        target=1.0,
        at_least=False,
        details=f"{most.peak_bytes / 1e6:.0f} MB, of {few:,} trials {base.peak_bytes / 1e6:.0f} MB; "
        f"object stores hold {most.stored_bytes / 1e6:.1f} MB",
    )
    return [*lines, memory]


def compare_nodes(launches: Mapping[tuple[int, int], LaunchCost], count: int) -> list[BenchmarkResult]:
    """Compare launches of as many trials with the one on the fewest nodes."""
    (few, base), *others = sorted((nodes, cost) for (each, nodes), cost in launches.items() if each == count)
    return [
        BenchmarkResult(
            what=f"processor time of the driver per trial, {count:,} trials on {_nodes(nodes)}",
            against=f"on {_nodes(few)}",
            ratio=cost.processor_s / base.processor_s,
            target=None,
            at_least=False,
            details=f"{_describe(cost)}; against {_describe(base)}",
        )
        for nodes, cost in others
    ]


def compare_reports(few: LaunchCost, more: LaunchCost) -> BenchmarkResult:
    """Compare the cost of one more report with that of a whole trial."""
    num_more = MORE_REPORTS - NUM_REPORTS
    report_s = (more.processor_s - few.processor_s) / num_more
    main_s = (more.main_s - few.main_s) / num_more
    return BenchmarkResult(
        what="processor time of the driver for one more report of a trial",
        against=f"a trial with {NUM_REPORTS} reports",
        ratio=report_s / few.processor_s,
        target=None,
        at_least=False,
        details=f"{1e3 * report_s:.1f} ms, of which Tune's loop {1e3 * main_s:.1f} ms",
    )


def time_commands(cost: StoreCost) -> list[BenchmarkResult]:
    """Compare times of commands with what they may take."""
    timed = {
        "resume, until Tune starts": (cost.resume, MAX_RESUME_S),
        "plan": (cost.plan, MAX_COMMAND_S),
        "report": (cost.report, MAX_COMMAND_S),
    }
    return [
        BenchmarkResult(
            what=f"{what}, {cost.num_trials:,} finished trials, processor time",
            against=f"{limit_s:.0f} s",
            ratio=processor_s / limit_s,
            target=1.0,
            at_least=False,
            details=f"{processor_s:.1f} s; wall time {wall_s:.1f} s",
        )
        for what, ((wall_s, processor_s), limit_s) in timed.items()
    ]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes{', simulated' if count not in RAY_NODES else ''}"


def _describe(cost: LaunchCost) -> str:
    times = [f"{1e3 * seconds:.1f} ms" for seconds in (cost.processor_s, cost.main_s, cost.wall_s)]
    return "{}, of which Tune's loop {}; wall time {}".format(*times)


def launch_trials(
    count: int,
    num_nodes: int,
    num_reports: int = NUM_REPORTS,
    *,
    is_simulated: bool = False,
    num_warmup: int = NUM_WARMUP_TRIALS,
) -> LaunchCost:
    """Run a study of `count` trials on an empty store.

    Args:
        num_nodes: nodes of one CPU; 0 for the Ray that this process is connected to.
        is_simulated: Tune's loop has fake actors.
        num_warmup: trials after which the cost counts.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    updates = reporter_of(num_reports)
    nodes = instant_actors(num_nodes, updates) if is_simulated else _nodes_started(num_nodes)
    with tempfile.TemporaryDirectory() as name, nodes:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        plan = make_plan(short.SPACE, tuple(range(count)), folders, {})
        moments = _Moments({num_warmup, count})
        console = Console(file=io.StringIO())
        with (
            patch("study.execution.runner.train_trial", trainable_of(updates)),
            patch.object(StudyProgress, "end_trial", moments.end_trial_of(StudyProgress.end_trial)),
        ):
            result = run_plans([plan], Ledger(folders.store), console, ResourceRequest(cpus_per_trial=1), {})
        wall_s, processor_s, main_s = time.perf_counter(), time.process_time(), time.thread_time()
    ended = Counter(result.states.values())
    if ended != {TrialState.FINISHED: count}:
        raise RuntimeError(f"not all of {count} trials finished: {ended} {result.stop_reason}")
    first, last = moments.recorded
    num_trials = count - num_warmup
    return LaunchCost(
        wall_s=(wall_s - first.wall_s) / num_trials,
        processor_s=(processor_s - first.processor_s) / num_trials,
        main_s=(main_s - first.main_s) / num_trials,
        peak_bytes=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        stored_bytes=last.stored_bytes,
    )


@contextmanager
def _nodes_started(count: int) -> Iterator[None]:
    """Start a cluster, and connect to it. Its head runs trials where it is the only node."""
    if not count:
        yield
        return
    os.environ.update(QUIET_RAY)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": int(count == 1), "include_dashboard": False})
    try:
        for _ in range(count if count > 1 else 0):
            cluster.add_node(num_cpus=1)
        ray.init(cluster.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray leaves it so


def reporter_of(num_reports: int) -> Updates:
    """Return a trial that trains nothing. It is nested so that Ray takes it along by value."""
    files = tuple(NEEDED_FILES)

    def report_updates(task: TrialTask) -> Iterator[dict[str, Any]]:
        assert task.storage.folder is not None
        artifacts = task.storage.folder / task.work / ARTIFACTS
        artifacts.mkdir(parents=True, exist_ok=True)
        for name in files:
            (artifacts / name).touch()
        about = {"identity": task.identity, "peak_bytes": 0}
        yield {**about, "tags": {"device": "cpu", "built": task.identity}}
        steps = task.config["steps"]
        for number in range(1, num_reports - 1):
            row = {"step": steps * number / num_reports, "train_loss": 1.0, "lr": 0.1, "grad_norm": 1.0}
            yield {**about, "rows": [row], "is_replay": False, "saved": False}
        results = {"step": steps, "train_time_s": 0.01, "selected_val_accuracy": 0.5, "test_accuracy": 0.5}
        yield {**about, "rows": [results], "is_replay": False, "saved": False, "state": TrialState.FINISHED}

    return report_updates


def trainable_of(updates: Updates) -> Callable[[dict[str, Any]], None]:
    """Return a function that Tune runs in a worker."""

    def train(params: dict[str, Any]) -> None:
        from ray import tune

        for update in updates(params["task"]):
            tune.report(update)

    return train


class _Moments:
    """Records the state of the driver at the ends of some trials."""

    def __init__(self, at: set[int]) -> None:
        self.recorded: list[Moment] = []
        self._at = at
        self._num_ended = 0

    def end_trial_of(self, end_trial: Callable[..., None]) -> Callable[..., None]:
        """Return the method of a launch's progress that ends a trial, which then counts here, too."""

        def end_and_count(*arguments: Any, **details: Any) -> None:
            end_trial(*arguments, **details)
            self._num_ended += 1
            if self._num_ended in self._at:
                times = time.perf_counter(), time.process_time(), time.thread_time()
                self.recorded.append(Moment(self._num_ended, *times, stored_bytes=_stored_bytes()))

        return end_and_count


def _stored_bytes() -> float:
    """Return the bytes that Ray's object stores hold."""
    resources: Sequence[Callable[[], Mapping[str, float]]] = (ray.cluster_resources, ray.available_resources)
    total, free = (each().get("object_store_memory", 0.0) for each in resources)
    return total - free


def measure_store(study: str, count: int) -> StoreCost:
    """Time commands on a new store of finished trials with made-up results.

    Args:
        study: path of a study's file.
        count: trials; a multiple of its cells.
    """
    space = search_spaces.load(study)
    num_seeds = count // len(space.list_cells())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        report.write_study(space, tuple(range(num_seeds)), folders)
        return time_store(study, num_seeds, folders)


def time_store(study: str, num_seeds: int, folders: Folders) -> StoreCost:
    """Time commands on a store that has finished trials of a study.

    Args:
        num_seeds: seeds of which all trials have finished.
    """
    space = search_spaces.load(study)
    arguments = [study, "--seeds", str(num_seeds), "--store", str(folders.store)]
    arguments += ["--data-dir", str(folders.data), "--cache-dir", str(folders.cache)]
    return StoreCost(
        num_trials=num_seeds * len(space.list_cells()),
        resume=_time_resume(space, num_seeds + 1, folders),
        plan=report.seconds_of("run_study.py", "plan", *arguments),
        report=report.seconds_of("run_study.py", "report", *arguments, "--reports", str(folders.store / "reports")),
    )


def _time_resume(space: SearchSpace, num_seeds: int, folders: Folders) -> tuple[float, float]:
    """Return the seconds of a launch without Tune: it reads the store, plans, cleans up, fills the queue, and ends."""
    since, used = time.perf_counter(), time.process_time()
    ledger = Ledger(folders.store)
    plan = make_plan(space, tuple(range(num_seeds)), folders, ledger.trials())
    with patch("study.execution.runner.run_tune"):
        run_plans([plan], ledger, Console(file=io.StringIO()), ResourceRequest(), {})
    return time.perf_counter() - since, time.process_time() - used
