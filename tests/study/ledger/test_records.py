"""study.ledger.records."""

from revit.config import FineTuneConfig
from study.ledger.records import RunInfo, config_tags, request_key, study_tags

SPACE = {"recipe": "paper", "scale": "nano", "seed": "0"}


def tags(lr: float, **differs: str) -> dict[str, str]:
    return {**SPACE, **study_tags("s", cell={"name": "sgd"}, point={"name": "sgd", "lr": lr}), **differs}


def test_a_cell_has_scientific_axes_only_and_a_point_has_all() -> None:
    assert study_tags("s", cell={"name": "sgd"}, point={"name": "sgd", "lr": 0.1}) == {
        "study.s": "yes",
        "cell.s": "name=sgd",
        "point.s": "name=sgd lr=0.1",
    }


def test_two_points_of_one_cell_are_two_requests() -> None:
    assert request_key(tags(0.1), "s") != request_key(tags(0.2), "s")


def test_a_request_is_the_same_whatever_was_trained_for_it() -> None:
    keys = {request_key(tags(0.1, **{"digest.data": digest}), "s") for digest in ("old", "new")}
    assert len(keys) == 1


def test_seed_recipe_and_scale_are_part_of_a_request() -> None:
    differs = ({}, {"seed": "1"}, {"recipe": "timm"}, {"scale": "paper"})
    assert len({request_key(tags(0.1, **each), "s") for each in differs}) == len(differs)


def test_a_search_trial_and_a_tested_one_are_two_requests() -> None:
    tested = FineTuneConfig(dataset="digits", steps=1)
    keys = [request_key(tags(0.1, **config_tags(tested.with_values({"test": each}))), "s") for each in (True, False)]
    assert keys[0] != keys[1]
    older = {name: value for name, value in tags(0.1, **config_tags(tested)).items() if name != "phase"}
    assert request_key(older, "s") == keys[0], "trials were always tested before there were searches"


def test_tags_of_a_config_are_what_people_filter_by() -> None:
    config = FineTuneConfig(dataset="digits", steps=1, seed=3, test=False)
    assert config_tags(config) == {"seed": "3", "dataset": "digits", "model": "vit_nano", "phase": "search"}


def test_a_run_is_owned_by_its_identity_then_by_its_lock_then_by_itself() -> None:
    known = {"run_id": "run", "status": "RUNNING", "deleted": False, "metrics": {}}
    found = [RunInfo(**known, tags=each).owner for each in ({"identity": "a", "lock": "b"}, {"lock": "b"}, {})]
    assert found == ["a", "b", "run"]
