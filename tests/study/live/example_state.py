"""A state of a made-up study."""

from study.live.study_state import CellState, Phase, RunningTrial, StudyState


def cell(name: str, mean: float | None, num_finished: int, status: str = "") -> CellState:
    """Return a cell of three seeds."""
    has_interval = mean is not None and num_finished > 1
    return CellState(
        study="quickstart",
        cell=name,
        metric="accuracy",
        mean=mean,
        low=mean - 0.01 if has_interval and mean else None,
        high=mean + 0.02 if has_interval and mean else None,
        num_finished=num_finished,
        num_seeds=3,
        status=status,
    )


def running(name: str, step: int, steps_per_s: float | None, val_accuracy: float | None) -> RunningTrial:
    """Return a trial of 300 steps."""
    return RunningTrial(
        study="quickstart",
        trial=name,
        step=step,
        num_steps=300,
        steps_per_s=steps_per_s,
        val_accuracy=val_accuracy,
    )


EXAMPLE = StudyState(
    phase=Phase.RUNNING,
    num_trials=12,
    num_done=6,
    num_running=2,
    num_failed=1,
    share_done=0.53,
    elapsed_s=93.2,
    eta_s=77.0,
    studies=("quickstart",),
    counts={"new": 3, "running": 2, "finished": 5, "diverged": 1, "failed": 1},
    running=(
        running("optimizer=sgd schedule=cosine seed=2", 40, 12.34, 0.8123),
        running("optimizer=adam schedule=constant seed=2", 0, None, None),
    ),
    cells=(
        cell("optimizer=sgd schedule=constant", 0.9, 3),
        cell("optimizer=sgd schedule=cosine", 0.93, 2, "1 still running"),
        cell("optimizer=adam schedule=constant", None, 0, "1 diverged, 1 still running, 1 not run"),
        cell("optimizer=adam schedule=cosine", 0.91, 1, "1 lost worker, 1 not run"),
    ),
    failures={"lost worker": 1, "diverged": 1},
    newest_failure="RayActorError: the worker died",
    next_step="Ctrl-C stops the trials and keeps what they did; the same command resumes",
    log="/mlruns/logs/2026-01-01_12-00-00_7.log",
)
