"""What workers are told to train, and what each of them gets of the machine."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from revit.errors import InputError
from revit.identity import TRAINING_VERSION
from revit.source import SOURCE
from study.execution.trainable import Order
from study.plan import Plan, Trial


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial gets; None for the default: one GPU where there are any, and its share of the CPUs.

    Attributes:
        compiled: its model is compiled.
        address: HOST:PORT of the Ray cluster to join; None for a Ray of our own on this machine.
    """

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None
    compiled: bool = False
    address: str | None = None


class Share(NamedTuple):
    """What one trial gets, of what there is.

    Attributes:
        cpus, gpus: of one trial.
        all_cpus: of the largest node that can run one: what a trial that runs alone asks for.
        num_slots: trials that run at a time.
        compiled: their models are compiled.
    """

    cpus: int
    gpus: float
    all_cpus: int
    num_slots: int
    compiled: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether trials run beside each other, on one GPU or on one machine's memory."""
        return self.num_slots > 1


class Node(NamedTuple):
    """What one machine of Ray's offers to trials."""

    cpus: float
    gpus: float

    def num_slots(self, cpus: int, gpus: float) -> int:
        """Return how many trials of this size fit at a time."""
        slots = min(self.cpus / cpus, self.gpus / gpus) if gpus else self.cpus / cpus
        return int(slots)


def share_of(resources: Resources, nodes: Sequence[Node]) -> Share:
    """Return what one trial gets of the nodes that Ray has found.

    A small model on a CPU is faster on one thread than on two (measured: 824 against 695 images/s).

    Raises:
        InputError: more than any node has.
    """
    gpus, cpus = resources.gpus_per_trial, resources.cpus_per_trial
    with_gpus = [node for node in nodes if node.gpus]
    if gpus is None:
        gpus = 1.0 if with_gpus else 0.0
    if cpus is None:
        fair = min(node.cpus / node.gpus for node in with_gpus) if gpus and with_gpus else 0.0
        cpus = max(1, int(fair * gpus))
    able = [node for node in nodes if node.num_slots(cpus, gpus)]
    if not able:
        found = "; ".join(sorted({f"{node.cpus:g} and {node.gpus:g}" for node in nodes}))
        raise InputError(f"a trial asks for {cpus} CPUs and {gpus:g} GPUs; Ray finds {found}")
    all_cpus = max(node.cpus for node in able)
    return Share(cpus, gpus, int(all_cpus), sum(node.num_slots(cpus, gpus) for node in able), resources.compiled)


class Orders:
    """Writes the orders of one launch.

    Args:
        work: folder of all trials' work folders.
        stop_file: appears when the launch is to stop.
    """

    def __init__(self, plan: Plan, share: Share, work: Path, stop_file: Path) -> None:
        self.share = share
        self.work = work
        self.stop_file = stop_file
        self._first_seed = plan.trials[0].candidate.config.seed

    def order(self, trial: Trial, *, alone: bool) -> Order:
        """The order of a trial. Weights are kept of a study's first seed only.

        Args:
            alone: nothing else is to run on its GPU, or on its node, at the same time.
        """
        config = trial.candidate.config
        return Order(
            identity=trial.identity,
            config=asdict(config),
            images=str(trial.images),
            weights=None if trial.weights is None else str(trial.weights),
            work=str(self.work / trial.identity),
            stop_file=str(self.stop_file),
            device="cuda" if self.share.gpus else "cpu",
            num_cpus=self.share.all_cpus if alone else self.share.cpus,
            num_gpus=math.ceil(self.share.gpus) if alone else self.share.gpus,
            compiled=self.share.compiled,
            keep_model=config.seed == self._first_seed,
            source=SOURCE,
            training_version=TRAINING_VERSION,
        )
