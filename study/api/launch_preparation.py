"""Preparation of a launch, until all is known that could keep it from starting."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.api.commands import check_can_run, console_with_log, plan_study
from study.api.missing_models import reopen_trials
from study.api.opening import check_store, open_ledger
from study.execution.resources import ResourceRequest

if TYPE_CHECKING:
    from rich.console import Console

    from study.execution.rehearsal import Shape
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Folders, Plan


def prepare_run(
    spaces: Sequence[SearchSpace],
    folders: "Folders",
    request: ResourceRequest,
    *,
    num_seeds: int | None = None,
    strict_environment: bool = False,
    missing_models: bool = False,
    designs: Mapping[str, SequentialDesign] = MappingProxyType({}),
) -> "tuple[list[Plan], Ledger, Mapping[str, TrialRecord]]":
    """Return the plans of studies, their ledger, and its trials.

    Where there is no store yet, every trial is to be run. The store is created while Ray starts then: both take
    seconds, and Ray's are those of other processes.

    Args:
        missing_models: run the finished trials again whose models a study keeps and the ledger lacks.
        designs: sequential designs, by study.

    Raises:
        InputError: as `plan_study`, `check_can_run`, `open_ledger`; or Ray cannot be started.
    """
    check = partial(check_can_run, request=request, strict_environment=strict_environment)

    def make_plans(records: "Mapping[str, TrialRecord]", ledger: "Ledger | None") -> "list[Plan]":
        plans = [
            plan_study(space, folders, records, num_seeds=num_seeds, ledger=ledger, design=designs.get(space.name))
            for space in spaces
        ]
        check(plans)
        return plans

    if folders.has_store or request.address is not None or "RAY_ADDRESS" in os.environ:
        ledger = open_ledger(folders, create=True)
        records = ledger.trials()
        plans = make_plans(records, ledger)
        return reopen_trials(plans, ledger, records, check) if missing_models else plans, ledger, records
    from study.execution.cluster import start_ray
    from study.execution.ray_log import logged_to

    check_store(folders)
    plans = make_plans({}, None)
    with ThreadPoolExecutor(1) as executor, logged_to(Path(os.devnull)):
        opening = executor.submit(open_ledger, folders, create=True)
        start_ray(log=lambda line: None)  # the launch calls it again, and shows its warnings
        ledger = opening.result()
    records = ledger.trials()
    return make_plans(records, ledger) if records else plans, ledger, records


def rehearse_plans(
    plans: "Sequence[Plan]",
    ledger: "Ledger",
    request: ResourceRequest | None = None,
    *,
    console: "Console | None" = None,
    max_batch: int | None = None,
) -> "list[Shape]":
    """Try a few steps of each distinct shape of the trials to run, and keep speed and memory in the ledger.

    Args:
        max_batch: largest batch, in images; None for those of the studies.

    Raises:
        InputError: the request fits no node.
    """
    console, log = console_with_log(console)
    if not any(planned.to_check for planned in plans):
        log("nothing to rehearse: no trial is to be run")
        return []
    from study.execution.rehearsal import rehearse

    return rehearse(plans, ledger, request or ResourceRequest(), log, max_batch=max_batch)
