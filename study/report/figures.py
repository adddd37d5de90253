"""Which figures a study's report shows, and where their numbers come from."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from revit.datasets.image_store import ImageStore
from search_spaces.framework.space import SearchSpace
from study.analysis.anova import anova
from study.analysis.results import cell_table, reported_trials, trial_table
from study.labels import cell_label, label
from study.layout import BUILT, MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Plan, Trial
from study.report import plots
from study.report.paper_tables import SOURCES, published_of
from study.report.plots.authors import authors_curves

MAX_CURVES = 48
"""Trials whose curves are drawn; of a larger study, those of its first seeds."""
FEW_CELLS = 6
"""Cells up to which their answers are shown image by image."""
SAMPLES_PER_CLASS = 6
NUMERIC_VALUES = 3
"""Values from which on a numeric axis is drawn as one."""
CROSSED_AXES = 3
"""Scientific axes from which on a study is looked at as a grid of factors."""
SHOWN_INTERACTIONS = 2


class Study(NamedTuple):
    """A study that has results: its plan, where they are kept, and the trials that count, at least one."""

    plan: Plan
    ledger: Ledger
    trials: Sequence[Trial]

    @property
    def order(self) -> list[str]:
        """The cells in the order of their colors, one for each in all figures: of many, the best first."""
        cells = cell_table(self.plan)
        if len(cells) > plots.MAX_COLORED:
            cells = cells.sort_values("mean", ascending=False, kind="stable")
        axes = list(self.plan.space.scientific)
        return [label({axis: cell[axis] for axis in axes}) for cell in cells.to_dict("records")]


def figures(plan: Plan, ledger: Ledger) -> list[go.Figure]:
    """Every figure that the study's axes and finished trials allow."""
    study = Study(plan, ledger, reported_trials(plan))
    return [figure for make in FIGURES for figure in make(study)] if study.trials else []


def shows_models(space: SearchSpace) -> bool:
    """Whether figures of a study are drawn from the weights that its trials ended with."""
    return "model.pos_embed" in space.scientific


def _accuracy(study: Study) -> list[go.Figure]:
    """Accuracy along every numeric axis, a line for each combination of the others."""
    cells = cell_table(study.plan)
    return [
        plots.accuracy_over(
            pd.concat([_along(cells, study.plan, axis), _published_along(study.plan, axis)]),
            axis,
            log_x=axis != "resolution",
        )
        for axis in study.plan.space.scientific
        if _is_numeric(cells[axis])
    ]


def _is_numeric(values: pd.Series) -> bool:
    kinds = {type(value) for value in values}
    return kinds <= {int, float} and values.nunique() >= NUMERIC_VALUES


def _along(cells: pd.DataFrame, plan: Plan, axis: str) -> pd.DataFrame:
    others = [name for name in plan.space.scientific if name != axis]
    frame = cells[[axis, "mean", "low", "high"]].astype(float)
    frame["series"] = [label({name: cell[name] for name in others}) for cell in cells.to_dict("records")]
    return frame.assign(published=False, source="ours").dropna(subset=["mean"])


def _published_along(plan: Plan, axis: str) -> pd.DataFrame:
    """What is published for the cells, at the paper's scale; at another its numbers are not comparable."""
    candidates = {str(trial.candidate.cell): trial.candidate for trial in plan.trials}.values()
    wanted = candidates if plan.space.scale == "paper" else ()
    found = [(each.cell, row) for each in wanted for row in published_of(plan.space, each)]
    return pd.DataFrame(
        {
            axis: [cell[axis] for cell, _ in found],
            "series": [label({name: value for name, value in cell.items() if name != axis}) for cell, _ in found],
            "mean": [row.accuracy_pct / 100 for _, row in found],
            "source": [SOURCES[row.source] for _, row in found],
        }
    ).assign(low=np.nan, high=np.nan, published=True)


def _cost(study: Study) -> list[go.Figure]:
    rows = [
        (cell_label(trial), metrics.get("train_time_s", np.nan), metrics["test_accuracy"])
        for trial, metrics in _with_metrics(study.trials)
    ]
    by_cell = (
        pd.DataFrame(rows, columns=["cell", "train_time_s", "mean"]).groupby("cell", sort=False, as_index=False).mean()
    )
    devices = {_device(trial) for trial in study.trials}
    front = len(devices) == 1 and "cpu" not in devices
    device = "CPU" if devices == {"cpu"} else "GPU" if "cpu" not in devices else "device"
    return [plots.cost_accuracy(by_cell, device=device, front=front, order=study.order)]


def _learning(study: Study) -> list[go.Figure]:
    metrics = [name for name in ("val_accuracy", "test_curve_accuracy") if _measured(study.trials, name)]
    return [
        plots.learning_curves(_curves(study.ledger, study.trials, name), name, study.order)
        for name in (*metrics, "train_loss")
    ]


def _schedules(study: Study) -> list[go.Figure]:
    """Of each optimizer, at the rate at which most schedules were run with it: of each schedule one trial."""
    if "schedule.name" not in study.plan.space.scientific:
        return []
    by_peak: dict[str, dict[float, dict[str, Trial]]] = {}
    for trial in study.trials:
        config = trial.candidate.config
        same_peak = by_peak.setdefault(config.optimizer.name, {}).setdefault(config.optimizer.lr, {})
        same_peak.setdefault(config.schedule.name, trial)
    drawn = []
    for optimizer, peaks in by_peak.items():
        lr, shown = max(peaks.items(), key=lambda peak: len(peak[1]))
        rows = [
            (cell_label(trial), f"schedule={name}", step, rate)
            for name, trial in shown.items()
            for step, rate in study.ledger.curve(_run_id(trial), "lr")
        ]
        frame = pd.DataFrame(rows, columns=["cell", "schedule", "step", "lr"])
        drawn.append(plots.schedules(frame, f"optimizer={optimizer} lr={lr:g}", study.order))
    return drawn


def _grid(study: Study) -> list[go.Figure]:
    """Of a crossed grid: every trial, what each axis does, and the two that act together most."""
    axes = list(study.plan.space.scientific)
    if len(axes) < CROSSED_AXES:
        return []
    finished = finished_table(study.plan)
    drawn = [plots.parallel_coordinates(finished, axes, "test_accuracy"), plots.main_effects(finished, axes)]
    pairs = {f"{one} x {other}": (one, other) for one, other in itertools.combinations(axes, 2)}
    interactions = [pairs[term] for term in anova(finished, axes)["term"] if term in pairs]
    for one, other in interactions[:SHOWN_INTERACTIONS]:
        drawn.append(plots.interaction(finished, one, other, [axis for axis in axes if axis not in (one, other)]))
    return drawn


def finished_table(plan: Plan) -> pd.DataFrame:
    """The rows of `trial_table` whose trials have finished."""
    table = trial_table(plan)
    return table[table["state"] == TrialState.FINISHED]


def _answers(study: Study) -> list[go.Figure]:
    """Of a study of few cells: how its first seed answered, image by image."""
    first: dict[str, Trial] = {}
    for trial in study.trials:
        first.setdefault(cell_label(trial), trial)
    if len(first) > FEW_CELLS:
        return []
    drawn = []
    for name, trial in first.items():
        answers = pd.read_parquet(study.ledger.artifact(_run_id(trial), PREDICTIONS))
        true, prediction = answers["label"].to_numpy(), answers["prediction"].to_numpy()
        classes = _class_names(trial, study.ledger)
        counts = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(counts, (true, prediction), 1)
        drawn.append(plots.confusion(counts, classes, name))
        if trial.images is not None:
            images = _Images(ImageStore(trial.images), answers["index"].to_numpy())
            confidence = answers["confidence"].to_numpy()
            drawn.append(plots.mistakes(images, true, prediction, confidence, classes, name))
    return drawn


def _looking_inside(study: Study) -> list[go.Figure]:
    """Figures 1 to 3 of the paper, from the weights that the study's first seed ended with."""
    if not shows_models(study.plan.space):
        return []
    first: dict[str, Trial] = {}
    for trial in study.trials:
        first.setdefault(trial.candidate.config.model.pos_embed, trial)
    if "learned" not in first:
        return []
    from revit.models.introspection import attention_maps, embedding_filters, pos_embed_similarity

    models = {name: _tested_model(trial, study.ledger) for name, trial in first.items()}
    shown = {f"position embedding {name}": embedding_filters(model) for name, model in models.items()}
    learned, trial = models["learned"], first["learned"]
    drawn = [plots.filters(shown), plots.similarity(pos_embed_similarity(learned))]
    if trial.images is not None:
        image, given = _test_image(trial, ImageStore(trial.images))
        drawn.append(plots.attention(attention_maps(learned, given)[:, 0], image))
    return drawn


def _samples(study: Study) -> list[go.Figure]:
    """Figure 4 of the paper: training images of every class of the datasets that the study compares."""
    if "dataset" not in study.plan.space.scientific:
        return []
    here = {trial.candidate.config.dataset: trial.images for trial in study.trials if trial.images is not None}
    stores = {name: ImageStore(folder) for name, folder in here.items()}
    sets = {name: _samples_of(store) for name, store in stores.items() if len(store.manifest.class_names) <= FEW_CELLS}
    return [plots.samples(sets)] if sets else []


def _beside_the_authors(study: Study) -> list[go.Figure]:
    """By their recipe, where their own curves are known: Table 5, a cell for each of their arms."""
    space = study.plan.space
    if space.recipe != "authors" or space.table != 5:
        return []
    alike = {f"{_arm(trial)}_": trial for trial in study.trials if published_of(space, trial.candidate)}
    rows = [
        (cell_label(trial), trial.candidate.config.seed, step * (config.epochs or 0) / trial.num_steps, accuracy)
        for trial in study.trials
        for config in (trial.candidate.config,)
        if f"{_arm(trial)}_" in alike and published_of(space, trial.candidate)
        for step, accuracy in study.ledger.curve(_run_id(trial), "test_curve_accuracy")
    ]
    ours = pd.DataFrame(rows, columns=["cell", "seed", "epoch", "test_curve_accuracy"])
    curves = authors_curves()
    parts = [
        curves[(curves["study"] == "param_study") & curves["arm"].str.startswith(arm)].assign(cell=cell_label(trial))
        for arm, trial in alike.items()
    ]
    return [plots.against_authors(ours, pd.concat(parts), study.order)] if parts else []


def _arm(trial: Trial) -> str:
    """What the authors' notebooks call such a run."""
    return f"{trial.candidate.config.optimizer.name}_{trial.candidate.config.schedule.name}"


FIGURES: tuple[Callable[[Study], list[go.Figure]], ...] = (
    _accuracy,
    _learning,
    _schedules,
    _beside_the_authors,
    _grid,
    _cost,
    _answers,
    _looking_inside,
    _samples,
)


class _Images(Sequence[npt.NDArray[np.uint8]]):
    """The images at some positions of a store, read when they are asked for."""

    def __init__(self, store: ImageStore, positions: npt.NDArray[np.int64]) -> None:
        self._store, self._positions = store, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, place: Any) -> Any:
        return self._store.image(int(self._positions[place]))


def _curves(ledger: Ledger, trials: Sequence[Trial], metric: str) -> pd.DataFrame:
    """Columns cell, seed, step and the metric, of the first seeds of the study."""
    by_seed = sorted(trials, key=lambda trial: trial.candidate.config.seed)[:MAX_CURVES]
    rows = [
        (cell_label(trial), trial.candidate.config.seed, step, value)
        for trial in by_seed
        for step, value in ledger.curve(_run_id(trial), metric)
    ]
    return pd.DataFrame(rows, columns=["cell", "seed", "step", metric])


def _samples_of(store: ImageStore) -> dict[str, list[npt.NDArray[np.uint8]]]:
    found: dict[str, list[npt.NDArray[np.uint8]]] = {}
    for number, name in enumerate(store.manifest.class_names):
        places = np.flatnonzero((store.labels == number) & ~store.is_test)[:SAMPLES_PER_CLASS]
        found[name] = [store.image(int(place)) for place in places]
    return found


def _tested_model(trial: Trial, ledger: Ledger) -> Any:
    """The network that the trial was tested with."""
    from safetensors.torch import load_file

    from revit.models.build import build_model

    model = build_model(trial.candidate.config, len(_class_names(trial, ledger)), None)
    model.load_state_dict(load_file(ledger.artifact(_run_id(trial), MODEL)))
    return model.eval()


def _class_names(trial: Trial, ledger: Ledger) -> list[str]:
    """Return the classes that the trial was told apart, as it recorded them: its images may not be here."""
    built = json.loads(ledger.artifact(_run_id(trial), BUILT).read_text())
    names: list[str] = built["data"]["class_names"]
    return names


def _test_image(trial: Trial, store: ImageStore) -> tuple[npt.NDArray[np.uint8], Any]:
    """A test image as it is, and as the model is given it (1, 3, R, R)."""
    import torch

    from revit.datasets.batches import eval_batches, to_input
    from revit.models.normalization import normalization_of

    config = trial.candidate.config
    place = np.flatnonzero(store.is_test)[:1]
    [batch] = eval_batches(store, place, config.resolution, 1)
    return store.image(int(place[0])), to_input(batch.images, normalization_of(config), torch.device("cpu"))


def _with_metrics(trials: Sequence[Trial]) -> list[tuple[Trial, Mapping[str, float]]]:
    return [(trial, trial.record.metrics) for trial in trials if trial.record is not None]


def _measured(trials: Sequence[Trial], metric: str) -> bool:
    return any(metric in metrics for _, metrics in _with_metrics(trials))


def _run_id(trial: Trial) -> str:
    assert trial.record is not None, "a finished trial has its record"
    return trial.record.run_id


def _device(trial: Trial) -> str:
    return "" if trial.record is None else trial.record.environment.get("device", "")
