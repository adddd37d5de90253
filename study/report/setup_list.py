"""Setup of a study by name: recipe, seeds, steps, environment, versions, time of the last launch."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from rich.filesize import decimal

from revit.identity import TRAINING_VERSION
from study.ledger.ledger import Ledger
from study.ledger.schema import ACTUAL_PREFIX, ENVIRONMENT_TAGS, ESTIMATE_PREFIX, PEAK_BYTES, WALL_S
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.forecast_tables import format_seconds


def setup_context(plan: Plan, ledger: Ledger, command: str) -> dict[str, Any]:
    """Return what the templates show of the setup.

    Args:
        command: runs the study's trials.
    """
    forecast = describe_forecast(ledger.launches.forecast_values(plan.space.tags))
    return {"setup": describe_setup(plan) | forecast, "is_complete": plan.is_complete, "command": command}


def describe_setup(plan: Plan) -> dict[str, str]:
    """Return recipe, scale, seeds, steps, environment and versions of a study, by name."""
    space = plan.space
    records = [trial.record for trial in plan.trials if trial.record is not None and trial.state == TrialState.FINISHED]
    steps = sorted({trial.num_steps for trial in plan.trials})
    recipe = {} if space.base is not None else {"recipe": space.recipe, "scale": space.scale}
    environments = [record.environment for record in records]
    environment = {
        name: ", ".join(sorted({each[name] for each in environments if name in each})) or "-"
        for name in ENVIRONMENT_TAGS
    }
    return {
        **recipe,
        "seeds": ", ".join(map(str, sorted({trial.candidate.config.seed for trial in plan.trials}))),
        "steps": str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}",
        **environment,
        "test images": ", ".join(sorted({f"{trial.num_test:,}" for trial in plan.trials})),
        "training-code version": str(TRAINING_VERSION),
        "written with": f"Python {platform.python_version()}, timm {version('timm')}",
    }


def describe_forecast(values: Mapping[str, str]) -> dict[str, str]:
    """Return what the last launch took beside its estimate, by name; empty where there was none.

    Args:
        values: tags of the launch (`schema.FORECAST_VALUES`).
    """
    shown: dict[str, tuple[str, Callable[[int], str]]] = {
        WALL_S: ("time of the last launch", format_seconds),
        PEAK_BYTES: ("its peak memory", decimal),
    }
    lines = {}
    for name, (title, form) in shown.items():
        estimate, actual = (values.get(f"{prefix}{name}") for prefix in (ESTIMATE_PREFIX, ACTUAL_PREFIX))
        if estimate and actual:
            lines[title] = f"{form(round(float(actual)))}, estimated {form(round(float(estimate)))}"
    return lines
