"""What a study asks for, what of it is done, and what is left to train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS, caveats
from revit.identity import identity, input_digests
from search_spaces.framework.space import Candidate, SearchSpace
from study.inputs import Inputs
from study.layout import DATABASE
from study.ledger.records import TrialRecord, request_key, study_tags
from study.ledger.schema import SEED_TAG
from study.ledger.states import TrialState
from study.staleness import changes
from study.table_columns import check_axis_names


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where things lie.

    Attributes:
        store: folder of the results; with a server, only of what launches on this machine need meanwhile.
        data: folder of downloaded datasets.
        cache: folder of this machine's decoded images.
        server: address of the MLflow tracking server that has the results instead; empty for none.
        skip_broken: leave out images of the data that cannot be decoded.
    """

    store: Path
    data: Path
    cache: Path
    server: str = ""
    skip_broken: bool = False

    @property
    def results(self) -> str:
        """Where the results are, as a reader is told it: the server's address, else the folder."""
        return self.server or str(self.store)

    @property
    def has_store(self) -> bool:
        """Whether there is a store yet; of a server, it is not asked."""
        return bool(self.server) or (self.store / DATABASE).exists()


@dataclass(frozen=True, kw_only=True)
class Outline:
    """One trial as it can be told before its dataset is here: the steps follow from the registry's sizes."""

    candidate: Candidate
    num_steps: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial of a study, named by its identity, with what the ledger has of it.

    Attributes:
        images: folder of the image store that it reads; None where it is not on this machine.
        weights: file or folder of the weights that it starts from, None for none.
        num_steps: optimizer steps that its budget compiles to.
        num_test: images it is tested on.
        known: its record in the ledger, None where it has none.
        input_digests: what decides its result beside its config (`revit.identity.input_digests`).
        changed: where it is stale, so new but its place in the study was done before: what is different now.
        former_run: id of the run in which that was done.
        sizes: numbers of its images (`study.inputs.SIZES`).
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
    former_run: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_terminal(self) -> bool:
        """Whether it need not be run."""
        return self.state.is_terminal

    @property
    def is_stale(self) -> bool:
        """Whether its place in the study was done before, with something else than now."""
        return self.record is None and bool(self.staleness_reason)

    @property
    def state(self) -> TrialState:
        """Its state in the ledger; NEW where it has no record."""
        return TrialState.NEW if self.record is None else self.record.state

    @property
    def missing(self) -> str:
        """Why it has no result, as a table says it; empty where it has one, or diverged."""
        if self.record is not None and self.record.failure:
            return self.record.failure
        if self.is_stale:
            return "stale"
        return self.state.label


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every trial of a study, in the order in which they would run.

    Attributes:
        caveats: caveats of its datasets, a line each.
    """

    space: SearchSpace
    trials: Sequence[Trial]
    caveats: Sequence[str] = ()

    @property
    def to_run(self) -> list[Trial]:
        """The trials that are not settled, each identity once."""
        return list({trial.identity: trial for trial in self.trials if not trial.is_terminal}.values())

    def with_records(self, records: Mapping[str, TrialRecord]) -> "Plan":
        """The same plan as the ledger sees it now."""
        trials = [replace(trial, record=records.get(trial.identity)) for trial in self.trials]
        return replace(self, trials=trials)


def is_registered(space: SearchSpace) -> bool:
    """Whether the registry knows every dataset of a space, so that its trials can be told before they are here."""
    return all(candidate.config.dataset in DATASETS for candidate in space.candidates(space.seeds[:1]))


def outline(space: SearchSpace, seeds: tuple[int, ...]) -> list[Outline]:
    """Every trial of a space that `is_registered`. Looks at no file."""
    return [
        Outline(candidate=candidate, num_steps=_stated_steps(candidate.config)) for candidate in space.candidates(seeds)
    ]


def _stated_steps(config: FineTuneConfig) -> int:
    if config.steps is not None:
        return config.steps
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
    """Name every trial of the space. Decodes datasets that were never decoded here; imports no torch.

    Args:
        records: the ledger's, by identity, the newest first.
        for_report: images and weights need not be here where trials with them are recorded.

    Raises:
        InputError: a dataset or weights are missing, an image cannot be decoded, or a fraction leaves a
            class empty.
    """
    check_axis_names(space)
    inputs = Inputs(
        data=folders.data,
        cache_dir=folders.cache,
        skip_broken=folders.skip_broken,
        recorded=list(records.values()) if for_report else (),
    )

    def trial_of(candidate: Candidate) -> Trial:
        config = candidate.config
        images = inputs.images(config)
        weights, weights_digest = inputs.weights(config.model)
        num_steps = config.num_steps(images.num_train, images.num_all)
        name = identity(config, num_steps=num_steps, data_digest=images.digest, weights_digest=weights_digest)
        return Trial(
            candidate=candidate,
            identity=name,
            images=images.folder,
            weights=weights,
            num_steps=num_steps,
            num_test=images.num_test,
            record=records.get(name),
            input_digests=input_digests(images.digest, weights_digest),
            sizes=images.sizes,
        )

    trials = [trial_of(candidate) for candidate in space.candidates(seeds)]
    datasets = list(dict.fromkeys(trial.candidate.config.dataset for trial in trials))
    found = [line for dataset in datasets for line in inputs.caveats(dataset)]
    return Plan(space=space, trials=_with_changes(trials, space, records), caveats=[*caveats(datasets), *found])


def _with_changes(trials: Sequence[Trial], space: SearchSpace, records: Mapping[str, TrialRecord]) -> list[Trial]:
    """The trials, those that are new told apart from those that were done before otherwise."""
    asked = {trial.identity for trial in trials}
    outdated = [record for record in records.values() if record.state.is_terminal and record.identity not in asked]
    done = {request_key(record.tags, space.name): record for record in outdated if space.name in record.studies}
    keys = [request_key(_request_tags(space, trial.candidate), space.name) for trial in trials]
    return [
        replace(
            trial,
            staleness_reason=changes(done[key], trial.candidate.config.flat(), trial.input_digests),
            former_run=done[key].run_id,
        )
        if trial.record is None and key in done
        else trial
        for trial, key in zip(trials, keys, strict=True)
    ]


def _request_tags(space: SearchSpace, candidate: Candidate) -> dict[str, str]:
    return {
        **space.tags,
        SEED_TAG: str(candidate.config.seed),
        **study_tags(space.name, cell=candidate.cell, point=candidate.point),
    }
