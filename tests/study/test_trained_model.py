"""A trial's model, built again, against the one that was tested and the logits that were recorded of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from revit.datasets.batches import eval_batches, to_input
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.training.prediction_file import read_columns
from study.layout import MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.trained_model import load_trained_model
from study.trial import Trial
from tests.study.trained_study import CPU, KINDS, MODULE, space_of, train_study


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path
) -> Iterator[tuple[dict[str, Trial], Ledger, dict[str, nn.Module]]]:
    """Trials of every kind, the ledger, the models that were tested."""
    root = tmp_path_factory.mktemp("kinds")
    (root / "models_of_a_user.py").write_text(MODULE)
    folders = Folders(store=root / "mlruns", data=root, cache=cache_dir)
    tested: dict[str, nn.Module] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        plan, ledger = train_study(
            space_of(KINDS), folders, lambda trial, result: tested.update({kind_of(trial): result.model.eval()})
        )
        yield {kind_of(trial): trial for trial in plan.trials}, ledger, tested


def kind_of(trial: Trial) -> str:
    return str(trial.candidate.cell["kind"])


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_tested_model_and_of_its_predictions(
    kind: str, trained: tuple[dict[str, Trial], Ledger, dict[str, nn.Module]]
) -> None:
    """Every test image: bit by bit as of the model in memory, and as recorded, in batches as the trial tested it."""
    trials, ledger, tested = trained
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


def test_weights_that_do_not_fit_or_are_damaged_are_one_line(
    trained: tuple[dict[str, Trial], Ledger, dict[str, nn.Module]],
) -> None:
    trials, ledger, _ = trained
    trial = trials["IA3"]
    other = replace(trial, candidate=replace(trial.candidate, config=trials["BiT"].candidate.config))
    reason = r"model\.safetensors is damaged, or of another version of"
    with pytest.raises(InputError, match=f"trial {trial.identity}: {reason} bit_nano"):
        load_trained_model(other, ledger)
    file = ledger.artifacts.path(trial.record.run_id, MODEL)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=reason):
        load_trained_model(trial, ledger)
