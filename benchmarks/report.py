"""Time to write a report of many trials, with its size, for a finished study with made-up results.

    python -m benchmarks.report --trials 1000

It writes the study through the ledger, which takes minutes. It then measures `run_study.py report`, from the start of
the interpreter to its end.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.studies.made_up import RESOLUTIONS, SPACE
from revit.datasets.image_store import ImageStore
from revit.models.internals_file import write_internals
from revit.training.metrics import Predictions, values_by_name
from revit.training.prediction_file import Evaluation, write_predictions
from search_spaces.framework import SearchSpace
from study.execution.launch_registration import register_plans
from study.execution.recorder import Recorder
from study.layout import ARTIFACTS, BUILT, INTERNALS, LOCKS, MODEL, NEEDED_FILES, PREDICTIONS, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from study.trial import Trial

ROOT = Path(__file__).parent.parent
STUDY = Path(__file__).parent / "studies" / "made_up.py"
MAX_SECONDS, MAX_BYTES = 10, 10_000_000


def write_study(space: SearchSpace, seeds: tuple[int, ...], folders: Folders) -> tuple[Plan, Ledger]:
    """Write a finished study with made-up results to an empty store, as a launch would."""
    ledger = Ledger(folders.store)
    plan = make_plan(space, seeds, folders, {})
    launch = ledger.launches.open(space.name, space.tags)
    registered = register_plans([plan], {space.name: launch}, ledger, {}, print)
    locks = Locks(folders.store / LOCKS)
    known = {trial.identity: trial for trial in plan.to_run}
    recorder = Recorder(
        ledger,
        launches={space.name: launch},
        trials=known,
        locks=locks,
        log=print,
        registered=registered,
    )
    for trial in plan.trials:
        artifacts = folders.store / WORK / trial.identity / ARTIFACTS
        _finish(trial, recorder, artifacts, keep_model=trial.candidate.config.seed == seeds[0])
    recorder.close(interrupted=False)
    return plan.with_records(ledger.trials()), ledger


def _finish(trial: Trial, recorder: Recorder, artifacts: Path, *, keep_model: bool) -> None:
    """Write one finished trial."""
    assert trial.images is not None, "a plan to run has its images"
    store = ImageStore(trial.images)
    predictions = _make_up_predictions(trial, store)
    logits = np.zeros((len(predictions.label), len(store.manifest.class_names)), np.float16)
    artifacts.mkdir(parents=True)
    for name in NEEDED_FILES:
        (artifacts / name).touch()
    built = {"data": {"class_names": store.manifest.class_names}}
    (artifacts / BUILT).write_text(json.dumps(built))
    write_predictions(artifacts / PREDICTIONS, {"test": Evaluation(predictions, logits, None)})
    if keep_model:
        _write_model(trial, store, artifacts)
    recorder.start_trial(trial.identity)
    recorder.add_tags(trial.identity, {"device": "cpu", "precision": "fp32", "torch": "2"})
    recorder.add_rows(trial.identity, _rows(trial, predictions.accuracy))
    metrics = values_by_name({"test": predictions, "val": predictions})
    results = {**metrics, "train_time_s": trial.candidate.config.resolution / 10}
    recorder.add_rows(trial.identity, [{"step": trial.num_steps, **results}])
    recorder.end_trial(trial.identity, TrialState.FINISHED)


def _make_up_predictions(trial: Trial, store: ImageStore) -> Predictions:
    """Make up predictions: more are correct at a higher resolution, with position embeddings, and with Adam."""
    config = trial.candidate.config
    rng = np.random.default_rng(int(trial.identity, 16))
    index = np.flatnonzero(store.is_test)
    label = store.labels[index].astype(np.int64)
    bonus = 0.1 * (config.model.pos_embed == "learned") + 0.05 * (config.optimizer.name == "adam")
    is_correct = rng.random(len(index)) < 0.5 + 0.2 * config.resolution / max(RESOLUTIONS) + bonus + rng.normal(0, 0.01)
    prediction = np.where(is_correct, label, rng.integers(0, len(store.manifest.class_names), len(index)))
    confidence, loss = _random_shares(rng, len(index)), _random_shares(rng, len(index))
    return Predictions(index, label, prediction, confidence, loss, rank=9 * (label != prediction))


def _write_model(trial: Trial, store: ImageStore, artifacts: Path) -> None:
    """Write the untrained model, and what figures show of it."""
    from safetensors.torch import save_file

    from revit.models.build import build_model
    from revit.training.inspection import inspect_trained

    config = trial.candidate.config
    model = build_model(config, len(store.manifest.class_names), trial.weights)
    save_file(model.state_dict(), artifacts / MODEL)
    if internals := inspect_trained(model, config, store):
        write_internals(artifacts / INTERNALS, internals)


def _random_shares(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    return rng.random(count, np.float32)


def _rows(trial: Trial, accuracy: float) -> list[dict[str, float]]:
    """Return the metrics of every step, with five evaluations."""
    config, rows = trial.candidate.config, []
    for step in range(1, trial.num_steps + 1):
        done = step / trial.num_steps
        lr = config.optimizer.lr * (np.cos(np.pi / 2 * done) if config.schedule.name == "cosine" else 1)
        row = {"step": step, "train_loss": 2.3 - done, "lr": lr, "grad_norm": 1.0, "images_per_s": 500.0}
        if 5 * step % trial.num_steps == 0:
            row |= {"val_accuracy": accuracy * done**0.5, "val_loss": 2.3 - done}
        rows.append(row)
    return rows


def seconds_of(*arguments: str) -> tuple[float, float]:
    """Return the wall time and processor time of Python with these arguments, in seconds."""
    started, used = time.perf_counter(), _used_s()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started, _used_s() - used


def _used_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main() -> None:
    """Print how long the report takes and how large it is; fail if it is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="rounded up to a multiple of the cells")
    num_cells = len(SPACE.candidates((0,)))
    num_seeds = math.ceil(parser.parse_args().trials / num_cells)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        write_study(SPACE, tuple(range(num_seeds)), folders)
        print(f"{num_seeds * num_cells:,} trials written", flush=True)
        where = ["--store", str(folders.store), "--cache-dir", str(folders.cache), "--reports", str(folder / "reports")]
        seconds, used = seconds_of("run_study.py", "report", str(STUDY), "--seeds", str(num_seeds), *where)
        num_bytes = sum(path.stat().st_size for path in (folder / "reports").rglob("*") if path.is_file())
    importing, _ = seconds_of("-c", "import run_study, study.report")
    print(f"the report took {seconds:.1f} s, {used:.1f} s of processors; target: at most {MAX_SECONDS} s")
    print(f"of these {importing:.1f} s are imports")
    print(f"its size is {num_bytes / 1e6:.1f} MB; target: at most {MAX_BYTES / 1e6:g} MB")
    if num_bytes > MAX_BYTES:
        sys.exit("the report is too large")


if __name__ == "__main__":
    main()
