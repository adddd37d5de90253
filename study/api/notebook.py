"""Functions for notebooks, each of one study: plan, run, results, verdicts, figure, report, among others.

space = SearchSpace(name="mine", ...)
api.run(space, store="mlruns")
results = api.results(space, store="mlruns")
results.pivot_table("accuracy", "optimizer.name", "schedule.name")
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from search_spaces.framework.space import SearchSpace
from study.api import commands
from study.api.exports import Exported, export_model
from study.api.launch_preparation import prepare_run
from study.api.opening import Choices, Study, load_study, make_folders, open_ledger
from study.api.verification import read_history
from study.execution.resources import ResourceRequest
from study.ledger.states import TrialState

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from study.execution.recorder import RunResult
    from study.ledger.ledger import Ledger
    from study.plan import Folders, Plan
    from study.report.figures import Figure


class Options(Choices, total=False):
    """Keywords of every function here, each as the option of the command line of that name, with its default.

    Environment variables such as REVIT_STORE are read by the command line only.

    Attributes:
        num_seeds: every cell has the seeds 0, 1, ...; by default the study's own.
        scale, recipe, settings, only: choices of `load_study`.
        sampler, num_trials, time_budget_s, pruner: values of its search in place of the study's.
        store: a folder, or the address of an MLflow tracking server; by default mlruns.
        storage: a folder or an object store with the files that driver and workers share; by default the store's.
        data_dir, weights_dir, cache_dir: folders of datasets, pretrained weights, decoded images.
        skip_broken: leave out images that cannot be decoded.
    """

    num_seeds: int | None
    store: Path | str
    storage: Path | str | None
    data_dir: Path | str
    weights_dir: Path | str | None
    cache_dir: Path | str
    skip_broken: bool


def plan(study: Study, **options: Unpack[Options]) -> "Plan":
    """Return every trial of a study with its state; `.to_run` are those that `run` would train.

    Raises:
        InputError: the study is wrong, a dataset or weights are missing, or an image cannot be decoded.
    """
    space, folders, num_seeds = _open(study, options)
    if not folders.has_store:
        return commands.plan_study(space, folders, {}, num_seeds=num_seeds)
    ledger = open_ledger(folders)
    return commands.plan_study(space, folders, ledger.trials(), num_seeds=num_seeds, ledger=ledger)


def run(
    study: Study,
    *,
    request: ResourceRequest | None = None,
    console: "Console | None" = None,
    **options: Unpack[Options],
) -> "RunResult":
    """Train the trials of a study that are not done, and show the progress.

    Failed trials do not raise: they are in the result.

    Args:
        request: CPU threads, GPUs, compilation, Ray cluster; by default as of the command line.
        console: where progress is shown; by default Rich's own. `Console(quiet=True)` shows nothing.

    Raises:
        InputError: the study cannot run here.
    """
    from rich import get_console

    request = request or ResourceRequest()
    space, folders, num_seeds = _open(study, options)
    if request.compiled:
        commands.cache_compiled(folders)
    commands.check_address(request)
    plans, ledger, _ = prepare_run([space], folders, request, num_seeds=num_seeds)
    return commands.run_plans(plans, ledger, request, console=console or get_console())


def results(
    study: Study, *, states: Collection[str] = (TrialState.FINISHED,), **options: Unpack[Options]
) -> "pd.DataFrame":
    """Return a row per trial of a study.

    Columns:
        one per axis: its values, of their own type.
        seed: int.
        state: str, one of `states`.
        one per key of `revit.training.metrics.METRICS`: float; a share from 0 to 1 where its unit is %, otherwise in
            its unit; of the test images, of the selected checkpoint; NaN for what was not measured.
        val_accuracy: share of the validation images, of the same checkpoint; NaN without validation.
        num_test: number of test images.
        identity, run_id: str; the run is MLflow's.

    Args:
        states: states of the trials to include, such as `diverged` or `failed`. Trials never begun are `new`.

    Raises:
        InputError: there is no store, or no such state.
    """
    from study.analysis.tidy import tidy_table

    planned, _ = _read(study, options)
    return tidy_table(planned, states)


def search_points(study: Study, **options: Unpack[Options]) -> "pd.DataFrame":
    """Return a row per point that a study's searches have asked for, cell by cell; none where nothing is searched.

    Columns:
        one per axis: its value, as trained; None for a nuisance axis that does not exist at the point.
        number: int, 0 for the first point of a cell.
        state: str, `finished`, `pruned`, `diverged` or `failed`; else it is not over.
        one per objective: float, the mean over the seeds of a finished point, else NaN. `val_accuracy` for accuracy:
            a metric of predictions is that of the validation images.
        seconds: float, of training, of all its seeds.
        chosen: bool, whether it is the one that is tested, once the search is over.
        identities, run_ids: tuples of str, one for each seed of the search; the runs are MLflow's.

    Raises:
        InputError: there is no store.
    """
    from study.analysis.searched import point_table

    planned, _ = _read(study, options)
    return point_table(planned)


def effects(study: Study, **options: Unpack[Options]) -> "pd.DataFrame":
    """Return a row per effect of a study's axes: pairs of values of each axis, then interactions of two axes.

    Columns are kind (`effect`, `interaction`, or `simple effect`: of an axis at one value of another), verdict (`real`
    or `inconclusive`; None for a simple effect), then the fields of `study.analysis.effects.Effect`.

    Raises:
        InputError: there is no store.
    """
    import pandas as pd

    from study.report.answer import to_records

    planned, ledger = _read(study, options)
    return pd.DataFrame(to_records(commands.study_effects(planned, ledger, ledger.trials()))["effects"])


def verdicts(study: Study, **options: Unpack[Options]) -> "pd.DataFrame":
    """Return a row per claim of a study, in its order.

    Columns are the fields of `study.analysis.claim_tests.ClaimResult`: claim and quote as text, verdict, effect with
    its 95 % interval from low to high in `unit`, p and p_holm, test, num_seeds,
    required_seeds, power, caveats. `published` is the verdict recomputed from published numbers, None where there are
    none.

    Raises:
        InputError: there is no store.
    """
    import pandas as pd

    from revit.training.metrics import find_metric
    from study.report.claim_list import to_records

    planned, ledger = _read(study, options)
    records = to_records(commands.claim_verdicts(planned, ledger, ledger.trials()), find_metric(planned.space.metric))
    return pd.DataFrame([{**each, "published": (each["published"] or {}).get("verdict")} for each in records])


def calibration(study: Study, test_set: str = "", **options: Unpack[Options]) -> "pd.DataFrame":
    """Return a row per finished trial: its temperature, fitted on validation images, and its effect on test images.

    Columns are the axes, `seed`, `temperature`, `calibration_error`, `loss`, `scaled_calibration_error`, `scaled_loss`.
    Nothing is trained. Of a search, tested trials are trained on the validation images, too, and cannot be calibrated.

    Args:
        test_set: a further test set, such as `mnist_5k`; empty for the own test split.

    Raises:
        InputError: there is no store, or a trial keeps no such predictions.
    """
    from study.analysis.calibration import calibration_table

    planned, ledger = _read(study, options)
    return calibration_table(planned, ledger.artifacts.read_logits, test_set)


def ensembles(study: Study, **options: Unpack[Options]) -> "pd.DataFrame":
    """Return a row per cell: the study's metric of the ensemble of its seeds, which averages their probabilities.

    Columns are the axes, `n` seeds, their `mean`, the `ensemble`, `low` and `high`: its 95 % interval over test images.
    Nothing is trained.

    Raises:
        InputError: there is no store, or a trial keeps no such predictions.
    """
    from study.analysis.ensembles import ensemble_table

    planned, ledger = _read(study, options)
    return ensemble_table(planned, ledger.artifacts.read_logits)


def reselect(study: Study, axis: str, by: str = "loss", **options: Unpack[Options]) -> "pd.DataFrame":
    """Return a row per cell of the other axes: the value of an axis that is best on validation images, and its result.

    Columns are the axes, `val` (the metric `by` on validation images, mean over seeds), `n` seeds, `mean` (the study's
    metric on test images). Nothing is trained.

    Raises:
        InputError: there is no store, no such axis or metric, or a trial has no validation images.
    """
    from study.analysis.reselection import reselection_table

    planned, _ = _read(study, options)
    return reselection_table(planned, axis, by)


def figure(study: Study, title: str = "", **options: Unpack[Options]) -> "Figure":
    """Return the first figure of a study's report, or the first whose title contains a text.

    Raises:
        InputError: no trial has finished, or no title contains the text (names the titles).
    """
    from study.analysis.results import reported_trials
    from study.report.figures import draw_figure
    from study.report.finished_study import FinishedStudy

    planned, ledger = _read(study, options)
    records = ledger.trials()
    verdicts = commands.claim_verdicts(planned, ledger, records)
    effects = commands.study_effects(planned, ledger, records)
    return draw_figure(FinishedStudy(planned, ledger, reported_trials(planned), verdicts, effects), title)


def report(study: Study, *, reports: Path | str = "reports", **options: Unpack[Options]) -> Path:
    """Write the report of a study; return the path of its page, which a browser opens.

    Args:
        reports: folder of all reports, with a subfolder per study, recipe and scale.

    Raises:
        ReportKeptError: the report in that folder has results that this one would lack.
    """
    planned, ledger = _read(study, options)
    records = ledger.trials()
    verdicts = commands.claim_verdicts(planned, ledger, records)
    effects = commands.study_effects(planned, ledger, records)
    history = read_history(planned, ledger, records)
    page, *_ = commands.write_report(planned, ledger, Path(reports), verdicts, effects, history)
    commands.write_index(Path(reports))
    return page


def export(
    study: Study,
    to: Path | str,
    *,
    cell: Mapping[str, object] | str = "",
    seed: int | str | None = None,
    onnx: bool = False,
    register: str | None = None,
    **options: Unpack[Options],
) -> Exported:
    """Write a trained model to a folder that timm and transformers load.

    Args:
        to: a new folder, or an earlier export, which is replaced.
        cell: value by scientific axis, or a text AXIS=VALUE,AXIS=VALUE; axes on which cells do not differ may be left
            out.
        seed: a number, or `best` by validation images; by default the first seed whose weights were kept.
        onnx: write model.onnx, too.
        register: name of a registered model of MLflow, of which the model becomes a version.

    Raises:
        InputError: there is no store, no such cell or seed, no model, or the folder cannot be written; the packages of
            ONNX are missing; MLflow does not take the name.
    """
    planned, ledger = _read(study, options)
    return export_model(planned, ledger, Path(to), cell=cell, seed=seed, onnx=onnx, register=register)


def _open(study: Study, options: Options) -> "tuple[SearchSpace, Folders, int | None]":
    """Return the space, the folders, the number of seeds that keywords name."""
    rest: dict[str, Any] = {**options}
    num_seeds = rest.pop("num_seeds", None)
    choices: Any = {name: rest.pop(name) for name in Choices.__annotations__ if name in rest}
    return load_study(study, **choices), make_folders(**rest), num_seeds


def _read(study: Study, options: Options) -> "tuple[Plan, Ledger]":
    """Return the plan of a study from its records, with the ledger. Its images and weights may be missing."""
    space, folders, num_seeds = _open(study, options)
    ledger = open_ledger(folders)
    records = ledger.trials()
    planned = commands.plan_study(space, folders, records, num_seeds=num_seeds, for_report=True, ledger=ledger)
    return commands.measure_study(planned, ledger), ledger
