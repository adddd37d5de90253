"""A trial of a study, with its record in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from revit.training.metrics import Array
from search_spaces.framework.candidates import Candidate
from study.ledger.records import TrialRecord
from study.ledger.schema import STUDY_TAG
from study.ledger.states import TrialState


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Trial of a study, with its record in the ledger.

    Attributes:
        images: folder of its image store; None if it is not on this machine.
        test_sets: folders of the image stores of its further test sets by label, as `images`.
        weights: path of the weights that it starts from, None for none.
        num_steps: optimizer steps that its budget compiles to.
        input_digests: its `revit.identity.InputDigests.by_name`.
        staleness_reason: what changed since the study trained its point with its seed; empty if it is not stale.
        num_test: images of the test set that the study's metric is about.
        sizes: numbers of its images (`study.inputs.Images.sizes`).
        replicates: bootstrap replicates of the study's metric over its test images, (B,); None for none.
        unmeasured: why it has no value of the study's metric, though it finished; empty if it has one.
        identities_with_test: of a search trial, the trials whose records serve it (`study.ledger.reuse`).
        study: tags of the study that asks for it: name, recipe, scale.
        keeps: whether a study that tests it keeps its model, the tested weights, by the study's name. Where the study
            keeps the best of each cell, each of its trials is kept until a better one is.
        tags: tags of its run that say which point of a search it trains; empty for a tested trial.
        awaits: why its point, and so its identity, is not known yet; empty if it is.
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
    identities_with_test: tuple[str, ...] = ()
    study: Mapping[str, str] = field(default_factory=dict)
    keeps: Mapping[str, bool] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    awaits: str = ""
    test_sets: Mapping[str, Path | None] = field(default_factory=dict)

    @property
    def study_name(self) -> str:
        """Name of the study that asks for it."""
        return self.study[STUDY_TAG]

    @property
    def keep_model(self) -> bool:
        """True if a study keeps its tested weights."""
        return any(self.keeps.values())

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
    def steps_done(self) -> int:
        """Optimizer steps that need not be done again, as far as the ledger knows; all of a trial that is done."""
        if self.record is None:
            return 0
        return self.num_steps if self.state.is_terminal else self.record.last_step

    @property
    def missing(self) -> str:
        """Reason in a table why it has no result; empty if it has one or diverged."""
        if self.record is not None and self.record.failure:
            return self.record.failure
        if self.is_stale:
            return "stale"
        return self.unmeasured or self.awaits or self.state.label
