"""A trial's model, built again, against the one that was tested and the logits that were recorded of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from revit.datasets.batches import eval_batches, to_input
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.training.prediction_file import read_columns
from study.layout import MODEL, PREDICTIONS
from study.trained_model import load_trained_model
from tests.study.trained_study import CPU, KINDS, TrainedKinds


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_tested_model_and_of_its_predictions(kind: str, trained_kinds: TrainedKinds) -> None:
    """Every test image: bit by bit as of the model in memory, and as recorded, in batches as the trial tested it."""
    trials, ledger, tested = trained_kinds
    trial = trials[kind]
    before = torch.get_rng_state()
    model = load_trained_model(trial, ledger)
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers are drawn"
    store = ImageStore(trial.images)
    images = [
        to_input(batch.images, model.normalization, CPU)
        for batch in eval_batches(store, np.flatnonzero(store.is_test), model.resolution, model.config.batch_size)
    ]
    with torch.inference_mode():
        logits = torch.cat([model.network(each) for each in images])
        assert torch.equal(logits, torch.cat([tested[kind](each) for each in images]))
    recorded = read_columns(ledger.artifacts.path(trial.record.run_id, PREDICTIONS), ("logits", "prediction"))
    assert (logits.half().numpy() == recorded["logits"]).all()
    assert (logits.argmax(dim=1).numpy() == recorded["prediction"]).all()
    assert (logits.std(dim=0) > 0).all(), "the test needs a model that has learned something"
    assert model.class_names == tuple("0123456789")
    assert not any(each.requires_grad for each in model.network.parameters())


def test_weights_that_do_not_fit_or_are_damaged_are_one_line(trained_kinds: TrainedKinds) -> None:
    trials, ledger, _ = trained_kinds
    trial = trials["IA3"]
    other = replace(trial, candidate=replace(trial.candidate, config=trials["BiT"].candidate.config))
    reason = r"model\.safetensors is damaged, or of another version of"
    with pytest.raises(InputError, match=f"trial {trial.identity}: {reason} bit_nano"):
        load_trained_model(other, ledger)
    file = ledger.artifacts.path(trial.record.run_id, MODEL)
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    with pytest.raises(InputError, match=reason):
        load_trained_model(trial, ledger)
    file.write_bytes(whole)
