"""Helpers for tests of methods: plans of given configs, methods without a store."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from revit.config import FineTuneConfig
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.space import SearchSpace
from study.ledger.records import RunInfo
from study.plan import Plan
from study.report.methods import Methods, collect_methods
from study.trial import Trial

BASE = FineTuneConfig(dataset="digits", resolution=28, steps=60)
SPACE = SearchSpace(
    name="made",
    question="?",
    base=BASE,
    scientific={"level": {"a": {"optimizer.lr": 0.1}, "b": {"optimizer.lr": 0.2}}},
    seeds=(0,),
)
SIZES = {"num_train": 1294, "num_all": 1294, "num_test": 359}


def plan_of_configs(configs: Mapping[str, FineTuneConfig], space: SearchSpace = SPACE, axis: str = "level") -> Plan:
    """Return a plan of one trial per config, by its value on an axis."""
    trials = []
    for value, config in configs.items():
        candidate = Candidate(cell={axis: value}, nuisance={}, requested_values={axis: value}, config=config)
        trials.append(
            Trial(
                candidate=candidate, identity=value, images=None, weights=None, num_steps=60, num_test=359, record=None,
                input_digests={}, sizes=SIZES,
            )
        )  # fmt: skip
    return Plan(space=space, trials=trials)


def methods_of(plan: Plan, launches: Sequence[RunInfo] = ()) -> Methods:
    """Return the methods of a plan as a ledger with these launches has them."""
    infos = SimpleNamespace(infos=lambda: {each.run_id: each for each in launches})
    ledger: Any = SimpleNamespace(launches=infos, server="http://host:5000", run_path="/#/runs/{}".format)
    return collect_methods(plan, ledger)
