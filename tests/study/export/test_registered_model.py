"""The version of a registered model, as people and MLflow's functions see it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from study.export.exported_program import PixelNetwork
from study.export.registered_model import register_model
from study.ledger.ledger import Ledger
from study.ledger.logged_models import Version
from study.trial import Trial
from tests.study.export.untrained import untrained_model


def test_a_model_is_logged_and_registered_with_what_it_is() -> None:
    model = untrained_model()
    candidate = SimpleNamespace(cell={"optimizer.name": "sgd"}, point={"optimizer.name": "sgd"}, config=model.config)
    trial = SimpleNamespace(
        candidate=candidate,
        identity="1234",
        study={"study": "quick", "scale": "nano"},
        study_name="quick",
        record=SimpleNamespace(run_id="r", metrics={"test_accuracy": 0.93312}),
    )
    ledger: Any = mock.Mock()
    ledger.models.log.return_value = "m-1"
    ledger.models.register.return_value = Version(2, is_new=True)
    said = register_model(replace(model, trial=cast(Trial, trial)), cast(Ledger, ledger), "digits")
    assert said == "registered as version 2 of digits: models:/digits/2"
    tags = {"study": "quick", "scale": "nano", "cell": "optimizer=sgd", "seed": "0", "identity": "1234"}
    (run_id, identity), logged = ledger.models.log.call_args
    assert (run_id, identity, logged["name"], logged["tags"]) == ("r", "1234", "quick optimizer=sgd seed=0", tags)
    assert isinstance(logged["network"], PixelNetwork)
    assert (logged["resolution"], logged["metadata"]["class_names"][1]) == (8, "dog, wet")
    (name, model_id), registered = ledger.models.register.call_args
    assert (name, model_id, registered["tags"]) == ("digits", "m-1", tags)
    first, second, *_, last = registered["description"].split("\n\n")
    assert first == "Study `quick`, optimizer=sgd seed=0."
    assert second == "`vit_nano`, trained on `digits`; test accuracy of this seed 93.31 %."
    assert last.endswith('Classes in their order: cat, dog, wet, a "bird".')
