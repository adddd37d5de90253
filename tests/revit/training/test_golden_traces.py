"""Golden traces: the losses of every part of the training code."""

import json

import pytest

from revit.datasets.image_store import ImageStore
from tests.revit.training.golden_traces import BASE, CASES, FILE, trace

GOLDEN = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", CASES)
def test_training_gives_the_golden_losses(name: str, digits: ImageStore) -> None:
    """Raise TRAINING_VERSION when these numbers change on purpose: results of before are then trained again."""
    losses = trace(BASE.with_values(CASES[name]), digits)
    assert losses.keys() == GOLDEN[name].keys()
    for curve, values in losses.items():
        assert values == pytest.approx(GOLDEN[name][curve], rel=1e-4), curve


def test_every_case_trains_differently() -> None:
    assert GOLDEN.keys() == CASES.keys()
    assert len({str(each) for each in GOLDEN.values()}) == len(GOLDEN)
