"""Setup of a study: seeds, steps, devices, versions."""

import platform
from importlib.metadata import version

from revit.identity import TRAINING_VERSION
from study.ledger.schema import ENVIRONMENT_TAGS
from study.ledger.states import TrialState
from study.plan import Plan


def describe_setup(plan: Plan) -> dict[str, str]:
    """Return recipe, scale, seeds, steps, environment and versions of a study, by name."""
    space = plan.space
    records = [trial.record for trial in plan.trials if trial.record is not None and trial.state == TrialState.FINISHED]
    steps = sorted({trial.num_steps for trial in plan.trials})
    recipe = {} if space.base is not None else {"recipe": space.recipe, "scale": space.scale}
    environment = {
        name: ", ".join(sorted({record.environment[name] for record in records if name in record.environment})) or "-"
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
