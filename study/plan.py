"""Plan of a study: each trial, its state, why it is stale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.registry import DATASETS, caveats
from revit.errors import InputError
from revit.fields import IdentityRole, fields_by_path
from revit.identity import function_names, identity
from revit.training.metrics import METRICS, PREFIXES, Array
from search_spaces.framework.space import Candidate, SearchSpace
from study.inputs import Inputs
from study.layout import DATABASE
from study.ledger.records import TrialRecord, request_key, study_tags
from study.ledger.schema import DIGEST_PREFIX, SEED_TAG
from study.ledger.states import TrialState

TRIAL_METRICS = (
    *(f"{prefix}{name}" for prefix in PREFIXES.values() for name, metric in METRICS.items() if metric.of_predictions),
    *(name for name, metric in METRICS.items() if metric.of_predictions is None),
)
"""Results of a trial: columns of the table of trials."""
TABLE_COLUMNS = frozenset(
    {"seed", "state", "identity", "run_id", "num_test", "n", "mean", "low", "high", "interval", "diverged", "missing"}
    | {"lines", "right", *TRIAL_METRICS}
    | {metric.heading for metric in METRICS.values()}
)
"""Columns of result tables that are not axes."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Folders of a store, of data, of decoded images.

    Attributes:
        store: folder of the results; with a server, of checkpoints and locks only.
        data: folder of downloaded datasets.
        cache: folder of this machine's decoded images.
        server: address of the tracking server that has the results instead; empty for none.
        skip_broken: leave out images of the data that cannot be decoded.
    """

    store: Path
    data: Path
    cache: Path
    server: str = ""
    skip_broken: bool = False

    def open_images(self, dataset: str) -> ImageStore:
        """Return the image store of a dataset; see `revit.datasets.image_store.open_store`."""
        return open_store(dataset, data_dir=self.data, cache_dir=self.cache, skip_broken=self.skip_broken)

    @property
    def results(self) -> str:
        """Address of the server or path of the folder that has the results."""
        return self.server or str(self.store)

    @property
    def has_store(self) -> bool:
        """True if there is a store; always true for a server."""
        return bool(self.server) or (self.store / DATABASE).exists()


@dataclass(frozen=True, kw_only=True)
class TrialPreview:
    """Trial whose dataset is not on this machine yet: its steps follow from the registry's sizes."""

    candidate: Candidate
    num_steps: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Trial of a study, with its record in the ledger.

    Attributes:
        images: folder of its image store; None if it is not on this machine.
        weights: path of the weights that it starts from, None for none.
        num_steps: optimizer steps that its budget compiles to.
        input_digests: its `revit.identity.InputDigests.by_name`.
        staleness_reason: what changed since the study trained its point with its seed; empty if it is not stale.
        sizes: numbers of its images (`study.inputs.SIZES`).
        replicates: bootstrap replicates of the study's metric over its test images, (B,); None for none.
        unmeasured: why it has no value of the study's metric, though it finished; empty if it has one.
    """

    candidate: Candidate
    identity: str
    images: Path | None
    weights: Path | None
    num_steps: int
    num_test: int
    record: TrialRecord | None
    input_digests: Mapping[str, str]
    staleness_reason: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    replicates: Array | None = field(default=None, compare=False)
    unmeasured: str = ""

    @property
    def has_result(self) -> bool:
        """True if it finished and has a value of the study's metric."""
        return self.state == TrialState.FINISHED and not self.unmeasured

    @property
    def is_stale(self) -> bool:
        """True if the study has trained its point with its seed, before something changed."""
        return self.record is None and bool(self.staleness_reason)

    @property
    def state(self) -> TrialState:
        """State in the ledger; NEW without a record."""
        return TrialState.NEW if self.record is None else self.record.state

    @property
    def missing(self) -> str:
        """Reason in a table why it has no result; empty if it has one or diverged."""
        if self.record is not None and self.record.failure:
            return self.record.failure
        if self.is_stale:
            return "stale"
        return self.unmeasured or self.state.label


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials of a study, in the order in which they would run.

    Attributes:
        caveats: caveats of its datasets, a line each.
    """

    space: SearchSpace
    trials: Sequence[Trial]
    caveats: Sequence[str] = ()

    @property
    def to_run(self) -> list[Trial]:
        """Trials that are not completed, each identity once."""
        return list({trial.identity: trial for trial in self.trials if not trial.state.is_terminal}.values())

    def with_records(self, records: Mapping[str, TrialRecord]) -> "Plan":
        """Return the plan with other records of the ledger, by identity."""
        trials = [
            replace(trial, record=records.get(trial.identity), replicates=None, unmeasured="") for trial in self.trials
        ]
        return replace(self, trials=trials)


def is_registered(space: SearchSpace) -> bool:
    """Return whether the registry has every dataset of a space, so that `preview` works."""
    return all(candidate.config.dataset in DATASETS for candidate in space.candidates(space.seeds[:1]))


def preview(space: SearchSpace, seeds: tuple[int, ...]) -> list[TrialPreview]:
    """Return all trials of a space that `is_registered`. Reads no files."""
    return [
        TrialPreview(candidate=candidate, num_steps=_stated_steps(candidate.config))
        for candidate in space.candidates(seeds)
    ]


def _stated_steps(config: FineTuneConfig) -> int:
    num_train = DATASETS[config.dataset].num_train
    num_all = num_train - round(config.val_fraction * num_train)
    return config.num_steps(round(config.data_fraction * num_all), num_all)


def make_plan(
    space: SearchSpace,
    seeds: tuple[int, ...],
    folders: Folders,
    records: Mapping[str, TrialRecord],
    *,
    for_report: bool = False,
) -> Plan:
    """Return the plan of a space. Decodes datasets that were never decoded on this machine; does not import torch.

    Args:
        records: records of the ledger by identity, the newest first.
        for_report: images and weights may be missing where trials with them are recorded.

    Raises:
        InputError: a dataset or weights are missing, an image cannot be decoded, or a fraction leaves a
            class empty.
    """
    for axis in sorted({*space.scientific, *space.nuisance_axes} & TABLE_COLUMNS):
        raise InputError(
            f"search space {space.name}: axis {axis}: tables have a column of that name; name it differently"
        )
    inputs = Inputs(folders.open_images, list(records.values()) if for_report else ())
    done = {
        request_key(record.tags, space.name): record
        for record in records.values()
        if record.state.is_terminal and space.name in record.studies
    }

    def trial_of(candidate: Candidate) -> Trial:
        config = candidate.config
        images = inputs.images(config)
        weights, weights_digest = inputs.weights(config.model)
        budget = compile_budget(config, images.num_train, images.num_all)
        digests = images.digests(config, weights_digest)
        name = identity(config, budget, digests)
        requested = study_tags(space.name, cell=candidate.cell, point=candidate.point)
        key = request_key({**space.tags, **requested, SEED_TAG: str(config.seed)}, space.name)
        former = None if name in records else done.get(key)
        return Trial(
            candidate=candidate,
            identity=name,
            images=images.folder,
            weights=weights,
            num_steps=budget.num_steps,
            num_test=images.num_test,
            record=records.get(name),
            input_digests=digests.by_name(),
            staleness_reason=staleness_reason(former, config, digests.by_name()) if former else "",
            sizes=images.sizes,
        )

    trials = [trial_of(candidate) for candidate in space.candidates(seeds)]
    datasets = list(dict.fromkeys(trial.candidate.config.dataset for trial in trials))
    found = [line for dataset in datasets for line in inputs.caveats(dataset)]
    return Plan(space=space, trials=trials, caveats=[*caveats(datasets), *found])


def staleness_reason(record: TrialRecord, config: FineTuneConfig, input_digests: Mapping[str, str]) -> str:
    """Return what has changed between a recorded trial and the one that a study now asks for in its place.

    Args:
        config: config of the new trial.
        input_digests: its `revit.identity.InputDigests.by_name`.
    """
    owner: Any = type(config)
    fields, values = fields_by_path(owner), config.flat()
    reasons: list[str] = []
    for path in [*fields, *(each for each in record.params if each not in fields)]:
        if path not in fields:
            reasons.append(f"{path} was {record.params[path]}, and is no longer a field")
        elif path not in record.params:
            if fields[path].role is IdentityRole.NEUTRAL and values[path] != fields[path].neutral:
                reasons.append(f"{path} is {values[path]}, and was not a field")
        elif fields[path].role is not IdentityRole.WITHOUT_EFFECT and record.params[path] != str(values[path]):
            reasons.append(f"{path} was {record.params[path]}")
    recorded = {name: record.tags.get(f"{DIGEST_PREFIX}{name}") for name in input_digests}
    new_functions = {name for name in function_names(config) if recorded.get(name) is None}  # their fields are named
    changed = (name for name, digest in recorded.items() if digest != input_digests[name])
    reasons += [f"{name} changed" for name in changed if name not in new_functions]
    return ", ".join(reasons)
