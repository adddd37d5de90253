"""Preparation of a launch, until all is known that could keep it from starting."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.api.commands import check_can_run, plan_study
from study.api.opening import check_store, open_ledger
from study.execution.resources import ResourceRequest

if TYPE_CHECKING:
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
    designs: Mapping[str, SequentialDesign] = MappingProxyType({}),
) -> "tuple[list[Plan], Ledger, Mapping[str, TrialRecord]]":
    """Return the plans of studies, their ledger, and its trials.

    Where there is no store yet, every trial is to be run. The store is created while Ray starts then: both take
    seconds, and Ray's are those of other processes.

    Args:
        designs: sequential designs, by study.

    Raises:
        InputError: as `plan_study`, `check_can_run`, `open_ledger`; or Ray cannot be started.
    """

    def make_plans(records: "Mapping[str, TrialRecord]", ledger: "Ledger | None") -> "list[Plan]":
        plans = [
            plan_study(space, folders, records, num_seeds=num_seeds, ledger=ledger, design=designs.get(space.name))
            for space in spaces
        ]
        check_can_run(plans, request, strict_environment=strict_environment)
        return plans

    if folders.has_store or request.address is not None or "RAY_ADDRESS" in os.environ:
        ledger = open_ledger(folders, create=True)
        records = ledger.trials()
        return make_plans(records, ledger), ledger, records
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
