"""Golden traces: the losses of every part of the training code."""

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig
from revit.datasets.augmentations import AUGMENTATIONS
from revit.datasets.crops import TRAIN_CROPS
from revit.datasets.image_store import ImageStore
from revit.fields import IdentityRole, fields_by_path
from revit.models.normalization import NORMALIZATIONS
from revit.models.trained_parts import PARTS
from revit.training.losses import LOSSES
from revit.training.optimizer_specs import OPTIMIZERS
from revit.training.schedules import SCHEDULES
from tests.revit.training.golden_traces import BASE, CASES, FILE, trace

GOLDEN = json.loads(FILE.read_text())
UNTRACED = {"dataset", "model.weights", "test_sets"}
"""Fields that name files, or images that are tested alone."""


@pytest.mark.parametrize("name", CASES)
def test_training_gives_the_golden_losses(name: str, digits: ImageStore) -> None:
    """Raise TRAINING_VERSION when these numbers change on purpose: results of before are then trained again."""
    losses = trace(BASE.with_values(CASES[name]), digits)
    assert losses.keys() == GOLDEN[name].keys()
    for curve, values in losses.items():
        assert values == pytest.approx(GOLDEN[name][curve], rel=1e-4), curve


@pytest.mark.parametrize(
    ("path", "table"),
    [("loss", LOSSES), ("augmentation", AUGMENTATIONS), ("train_crop", TRAIN_CROPS), ("optimizer.name", OPTIMIZERS),
     ("schedule.name", SCHEDULES), ("normalization", NORMALIZATIONS), ("model.trained", PARTS)],
)  # fmt: skip
def test_every_entry_of_a_table_has_a_case(path: str, table: Mapping[str, object]) -> None:
    assert table.keys() <= traced(path)


def traced(path: str) -> set[object]:
    return {BASE.flat()[path], *(values[path] for values in CASES.values() if path in values)}


def test_every_case_trains_differently() -> None:
    assert GOLDEN.keys() == CASES.keys()
    assert len({str(each) for each in GOLDEN.values()}) == len(GOLDEN)


def test_every_field_has_a_case() -> None:
    roles = {path: each.role for path, each in fields_by_path(FineTuneConfig).items()}
    with_effect = {path for path, role in roles.items() if role is not IdentityRole.WITHOUT_EFFECT}
    assert with_effect - UNTRACED == {path for values in CASES.values() for path in values}


@pytest.mark.parametrize(
    ("owner", "prefix"),
    [(FineTuneConfig, ""), (ModelConfig, "model."), (OptimizerConfig, "optimizer."), (ScheduleConfig, "schedule.")],
)
def test_every_choice_has_a_case(owner: Any, prefix: str) -> None:
    """So the trace fails when the numerics of any optimizer, schedule, augmentation, loss or model part change."""
    for field, hint in get_type_hints(owner).items():
        path = f"{prefix}{field}"
        for kind in (hint, *get_args(hint)):
            choices = set(get_args(kind)) if get_origin(kind) is Literal else set()
            assert not choices or choices <= traced(path), path
