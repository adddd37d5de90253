"""Record of what a launch registers before its first result: canonical JSON, with its digest."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from revit.config import FineTuneConfig
from revit.fields import fields_by_path
from search_spaces.framework.axes import levels_of
from search_spaces.framework.space import SearchSpace
from study.plan import Plan
from study.registration.claim_record import ClaimRecord, claim_records
from study.registration.decision_rule import decision_rule

FORMAT = 1
"""Raised when the record of the same study would become another one."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Statements that a launch registers before its first result.

    Attributes:
        study: its name, recipe and scale.
        claims: of all its cells, also where a launch is limited to some.
        seeds: of the tested trials.
        rule: decision rule, in words by name.
        design: sequential design, in words by name; empty for a fixed number of seeds.
        setup: axes with their values, and the fields that the study sets.
        data: digests of images and splits, by dataset.
        code: `code_version`.
        user: who launched it.
        created_ms: when, in milliseconds since 1970.
        previous: digest of the newest record of the study by then; empty for none.
    """

    study: Mapping[str, str]
    question: str
    claims: Sequence[ClaimRecord]
    seeds: Sequence[int]
    rule: Mapping[str, str]
    design: Mapping[str, str]
    setup: Mapping[str, Any]
    data: Mapping[str, Mapping[str, str]]
    code: Mapping[str, str]
    user: str
    created_ms: int
    previous: str

    @property
    def created_s(self) -> float:
        """Time of the record in seconds since 1970."""
        return self.created_ms / 1000

    @property
    def digest(self) -> str:
        """SHA-256 of its text, which names it."""
        return digest_of(self.to_json())

    def to_json(self) -> str:
        """Return its text, byte for byte the same for the same values."""
        return canonical_json({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> "Registration":
        """Return the record of a text.

        Raises:
            ValueError: it is not the text of a record.
        """
        try:
            values = json.loads(text)
            return cls(**{each.name: values[each.name] for each in fields(cls)})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a record: {error}") from error


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, without spaces, in UTF-8: what `preregister` 0.1 hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_registration(
    plan: Plan, code: Mapping[str, str], *, user: str, created_ms: int, previous: str
) -> Registration:
    """Return the record of a plan."""
    space = plan.space
    return Registration(
        study=space.tags,
        question=space.question,
        claims=claim_records(space),
        seeds=list(plan.seeds),
        rule=decision_rule(space),
        design={} if plan.design is None else plan.design.to_text(),
        setup=_setup(space),
        data=_data(plan),
        code=dict(code),
        user=user,
        created_ms=created_ms,
        previous=previous,
    )


def _setup(space: SearchSpace) -> dict[str, Any]:
    """Return what the study sets, by dotted path, beside the values of its axes; all as text but the axes."""
    defaults = {path: each.default for path, each in fields_by_path(FineTuneConfig).items()}
    flat = {} if space.base is None else {name: str(value) for name, value in space.base.flat().items()}
    base = {name: value for name, value in flat.items() if value != defaults[name]}
    fixed = {name: str(value) for name, value in {**space.fixed, **space.settings}.items()}
    return {
        "axes": {name: [label for label, _ in levels_of(name, axis)] for name, axis in space.scientific.items()},
        "tuned": {name: str(axis) for name, axis in space.nuisance_axes.items()},
        "fields": {**base, **fixed},
    }


def _data(plan: Plan) -> dict[str, dict[str, str]]:
    """Return the digests of each dataset of a plan."""
    found: dict[str, dict[str, str]] = {}
    for trial in plan.trials:
        digests = trial.input_digests
        found.setdefault(
            trial.candidate.config.dataset, {name: digests[name] for name in ("data", "splits") if name in digests}
        )
    return found
