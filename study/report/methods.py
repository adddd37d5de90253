"""Methods of a study in full: data, models, settings, statistics, time, code, as facts made once.

The page, tables.md, tables.tex and report.json show the same facts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS
from revit.functions import is_import_path
from revit.models.architectures import MODELS
from study.analysis.time_used import TESTED, TimeUsed, time_used
from study.ledger.ledger import Ledger
from study.ledger.records import RunInfo
from study.ledger.schema import (
    COMMIT_TAG,
    GIT_DIRTY_TAG,
    NUM_ALL_TAG,
    NUM_TRAIN_TAG,
    PRECISION_TAG,
    TIMM_TAG,
    TORCH_TAG,
)
from study.plan import Plan
from study.report.curve_links import ui_address
from study.report.settings import Setting, settings

NOT_RECORDED = "not recorded"


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """A dataset of a study.

    Attributes:
        num_classes, num_val: None where the registry does not have the dataset.
        num_train, num_val: smallest and largest number of images over the study's trials.
    """

    name: str
    title: str
    num_classes: int | None
    num_train: tuple[int, int]
    num_val: tuple[int, int] | None
    num_test: int
    source: str
    license: str
    caveat: str


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model of a study.

    Attributes:
        num_params: None for a model outside the registry.
        num_trained: parameters that its finished trials trained, smallest and largest; None where none has finished.
        is_pretrained: False where all of its trials start from random weights.
    """

    name: str
    title: str
    num_params: int | None
    num_trained: tuple[int, int] | None
    is_pretrained: bool
    source: str
    license: str


@dataclass(frozen=True, kw_only=True)
class LaunchFacts:
    """A launch that trained trials of a study.

    Attributes:
        date: on which it began, in UTC.
        commit: of its code; empty where it was not under version control.
        is_changed: whether its code differed from the commit; None where that is not known.
        address: of its run in MLflow's UI.
    """

    run_id: str
    name: str
    date: str
    commit: str
    is_changed: bool | None
    num_trials: int
    address: str


@dataclass(frozen=True, kw_only=True)
class Methods:
    """Facts on what was done in a study.

    Attributes:
        environment: values of a tag over the finished trials, by tag.
    """

    plan: Plan
    datasets: Sequence[DatasetFacts]
    models: Sequence[ModelFacts]
    settings: Sequence[Setting]
    seeds: Sequence[int]
    num_cells: int
    environment: Mapping[str, Sequence[str]]
    times: Sequence[TimeUsed]
    launches: Sequence[LaunchFacts]

    @property
    def num_finished(self) -> int:
        """Number of tested trials that have a result."""
        return sum(each.num_trials for each in self.times if each.purpose == TESTED)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        facts = ("datasets", "models", "times", "launches")
        return {
            **{name: [asdict(each) for each in getattr(self, name)] for name in facts},
            "settings": [each.to_json() for each in self.settings],
            "environment": {name: list(values) for name, values in self.environment.items()},
        }


def collect_methods(plan: Plan, ledger: Ledger) -> Methods:
    """Return the facts on what was done in a study, from its plan and the ledger."""
    return Methods(
        plan=plan,
        datasets=describe_datasets(plan),
        models=describe_models(plan),
        settings=settings(plan),
        seeds=sorted({trial.candidate.config.seed for trial in plan.trials}),
        num_cells=len({tuple(trial.candidate.requested_values.values()) for trial in plan.trials}),
        environment=_environment(plan),
        times=time_used(plan),
        launches=describe_launches(plan, ledger.launches.infos(), ledger),
    )


def describe_datasets(plan: Plan) -> list[DatasetFacts]:
    """Return the datasets of the tested trials, with their numbers of images."""
    by_name: dict[str, list[Any]] = {}
    for trial in plan.trials:
        by_name.setdefault(trial.candidate.config.dataset, []).append(trial)
    found = []
    for name, trials in by_name.items():
        spec = DATASETS.get(name)
        num_train = [trial.sizes[NUM_TRAIN_TAG] for trial in trials if NUM_TRAIN_TAG in trial.sizes]
        num_all = [trial.sizes[NUM_ALL_TAG] for trial in trials if NUM_ALL_TAG in trial.sizes]
        has_val = spec is not None and bool(num_all)
        found.append(
            DatasetFacts(
                name=name,
                title=name if spec is None else spec.title,
                num_classes=None if spec is None else spec.num_classes,
                num_train=_span(num_train) or (0, 0),
                num_val=_span([max(0, spec.num_train - each) for each in num_all]) if spec and has_val else None,
                num_test=trials[0].num_test,
                source="images of the user" if spec is None else spec.source,
                license=NOT_RECORDED if spec is None else spec.license,
                caveat="" if spec is None else spec.caveat,
            )
        )
    return found


def describe_models(plan: Plan) -> list[ModelFacts]:
    """Return the models of the tested trials."""
    by_name: dict[str, list[FineTuneConfig]] = {}
    trained: dict[str, list[int]] = {}
    for trial in plan.trials:
        config = trial.candidate.config
        by_name.setdefault(config.model.name, []).append(config)
        if trial.record is not None and "num_trained" in trial.record.metrics:
            trained.setdefault(config.model.name, []).append(int(trial.record.metrics["num_trained"]))
    return [_model_facts(name, configs, trained.get(name, [])) for name, configs in by_name.items()]


def _model_facts(name: str, configs: Sequence[FineTuneConfig], num_trained: Sequence[int]) -> ModelFacts:
    spec = MODELS.get(name)
    files = sorted({str(each.model.weights) for each in configs if each.model.weights is not None})
    unknown = "function of the user" if is_import_path(name) else "timm"
    return ModelFacts(
        name=name,
        title=name if spec is None else spec.title,
        num_params=None if spec is None else spec.num_params,
        num_trained=_span(num_trained),
        is_pretrained=any(each.model.pretrained for each in configs),
        source=", ".join([unknown if spec is None else spec.source, *(f"weights from {file}" for file in files)]),
        license=NOT_RECORDED if spec is None else spec.license,
    )


def describe_launches(plan: Plan, launches: Mapping[str, RunInfo], ledger: Ledger) -> list[LaunchFacts]:
    """Return the launches that trained the tested trials and those of searches, the oldest first."""
    counts: dict[str, int] = {}
    for trial in [*plan.all_trials]:
        if trial.record is not None and trial.record.launch in launches:
            counts[trial.record.launch] = counts.get(trial.record.launch, 0) + 1
    found = [(launches[run_id], count) for run_id, count in counts.items()]
    return [_launch_facts(info, count, ledger) for info, count in sorted(found, key=lambda each: each[0].start_ms)]


def _launch_facts(info: RunInfo, num_trials: int, ledger: Ledger) -> LaunchFacts:
    is_dirty = info.tags.get(GIT_DIRTY_TAG)
    return LaunchFacts(
        run_id=info.run_id,
        name=info.tags.get("mlflow.runName", info.run_id),
        date=datetime.fromtimestamp(info.start_ms / 1000, UTC).date().isoformat(),
        commit=info.tags.get(COMMIT_TAG, ""),
        is_changed=None if is_dirty is None else is_dirty == "true",
        num_trials=num_trials,
        address=ui_address(ledger) + ledger.run_path(info.run_id),
    )


def _environment(plan: Plan) -> dict[str, list[str]]:
    """Return the number formats and versions of the finished trials."""
    environments = [trial.record.environment for trial in plan.trials if trial.has_result and trial.record is not None]
    return {
        name: sorted({each[name] for each in environments if name in each})
        for name in (PRECISION_TAG, TORCH_TAG, TIMM_TAG)
    }


def _span(numbers: Sequence[int]) -> tuple[int, int] | None:
    return (min(numbers), max(numbers)) if numbers else None


def format_span(span: tuple[int, int]) -> str:
    """Return the smallest and largest of several numbers: `129 to 1,294`, or one number."""
    low, high = span
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
