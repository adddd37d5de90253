"""What trials ran on: device, precision, threads, versions. It is not part of an identity, and decides last bits."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from revit.errors import InputError
from study.ledger.records import SURROUNDINGS
from study.plan import Plan

if TYPE_CHECKING:
    import torch


def describe(device: "torch.device", *, num_threads: int, compiled: bool) -> dict[str, str]:
    """Return what a trial on this machine runs on, by the names in SURROUNDINGS."""
    import timm
    import torch

    from revit.training.device import device_name, uses_bf16

    return {
        "device": device_name(device),
        "precision": "bf16" if uses_bf16(device) else "fp32",
        "compiled": "yes" if compiled else "no",
        "threads": str(num_threads),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }


def expected(*, cpus_per_trial: int | None, gpus_per_trial: float | None, compiled: bool) -> dict[str, str]:
    """Return what the next trial on this machine would run on."""
    import torch

    on_gpu = torch.cuda.is_available() and gpus_per_trial != 0
    num_threads = 1 if on_gpu else cpus_per_trial or 1
    return describe(torch.device("cuda" if on_gpu else "cpu"), num_threads=num_threads, compiled=compiled)


def mixture(plan: Plan, here: Mapping[str, str] | None = None) -> dict[str, Counter[str]]:
    """Return of what a study's finished trials differ in how many ran on each.

    Args:
        here: what its next trials would run on, which counts as one more.
    """
    ran_on = [
        trial.known.surroundings for trial in plan.trials if trial.known is not None and trial.state == "finished"
    ]
    counts = {
        name: Counter(each[name] for each in (*ran_on, *([here] if here else [])) if name in each)
        for name in SURROUNDINGS
    }
    return {name: count for name, count in counts.items() if len(count) > 1}


def environment_notes(plan: Plan) -> list[str]:
    """Return a line for each way in which the environments of finished trials differ."""
    return [
        f"its trials ran with different {name}: {_listed(count)}; numbers differ by rounding between them"
        for name, count in mixture(plan).items()
    ]


def check_uniform(plan: Plan, here: Mapping[str, str] | None = None) -> None:
    """Raise InputError where the table of a study mixes environments, or would.

    Args:
        here: as for `mixture`.
    """
    mixed = [f"{name} {_listed(count)}" for name, count in mixture(plan, here).items()]
    if mixed:
        here_too = ", this machine among them" if here else ""
        raise InputError(f"--strict-environment: trials of {plan.space.name} differ{here_too}: {'; '.join(mixed)}")


def _listed(count: Counter[str]) -> str:
    return ", ".join(f"{value} ({number})" for value, number in count.most_common())
