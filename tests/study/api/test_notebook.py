"""A notebook plans, runs, reads, reports a study: each in one call."""

import csv
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.metrics import METRICS
from search_spaces.framework import BetterThan, SearchSpace
from study import api
from study.cli.options import StudyOptions
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.study.searched_study import SPACE as SEARCHED
from tests.study.searched_study import at_best_lr, make_planner, search_points, write_records

SPACE = SearchSpace(
    name="notebook",
    question="Does it run from a notebook?",
    base=FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=4, num_evals=1, test_sets=("mnist_5k",)),
    scientific={"optimizer.lr": (0.01, 0.1)},
    seeds=(0, 1),
    metrics=("accuracy@mnist_5k", "accuracy_change@mnist_5k"),
    claims=(BetterThan(better={"optimizer.lr": 0.1}, worse={"optimizer.lr": 0.01}, quote="A high rate is better."),),
)


def test_a_study_is_run_read_reported_in_one_call_each(
    ray_cluster: None, one_slot: None, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = api.Options(store=tmp_path / "mlruns", data_dir=tmp_path / "data", cache_dir=str(cache_dir))
    planned = api.plan(SPACE, **where)
    assert [trial.state for trial in planned.to_run] == [TrialState.NEW] * 4
    with pytest.raises(InputError, match="there is no store at"):
        api.results(SPACE, **where)
    lines = StringIO()
    console = Console(file=lines, width=200)
    assert set(api.run(SPACE, console=console, num_seeds=1, **where).states.values()) == {TrialState.FINISHED}
    result = api.run(SPACE, console=console, request=api.ResourceRequest(), **where)
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert re.findall(r"\d trials, \d done.*", lines.getvalue()) == [
        "2 trials, 0 done, 2 to run",
        "4 trials, 2 done, 2 to run",
    ]
    values = api.open_ledger(api.make_folders(tmp_path / "mlruns")).launches.forecast_values({"study": "notebook"})
    assert float(values["estimate.peak_bytes"]) == pytest.approx(float(values["actual.peak_bytes"]), rel=0.1)
    assert api.plan(SPACE, **where).to_run == []
    assert len(api.plan(SPACE, num_seeds=3, **where).to_run) == 2
    assert len(api.plan(SPACE, settings=["steps=5"], only=["optimizer.lr=0.1"], **where).to_run) == 2

    results = api.results(SPACE, **where)
    assert sorted(results["optimizer.lr"]) == [0.01, 0.01, 0.1, 0.1]
    assert results["accuracy"].between(0, 1).all()
    assert {*METRICS, "seed", "identity", "run_id"} <= set(results)
    assert len(api.results(SPACE, num_seeds=1, **where)) == 2
    assert len(api.results(SPACE, states=["new"], num_seeds=3, **where)) == 2

    [verdict] = api.verdicts(SPACE, **where).to_dict("records")
    means = 100 * results.groupby("optimizer.lr")["accuracy"].mean()
    assert verdict["quote"] == "A high rate is better."
    assert verdict["effect"] == pytest.approx(means[0.1] - means[0.01])
    assert verdict["low"] < verdict["effect"] < verdict["high"]

    ledger = api.open_ledger(api.make_folders(tmp_path / "mlruns"))
    for row in results.to_dict("records"):
        predictions = ledger.artifacts.read_predictions(row["run_id"], ("prediction",), "mnist_5k/test")
        assert (len(predictions.label), predictions.accuracy) == (1000, pytest.approx(row["accuracy@mnist_5k"]))
    by_rate = results.groupby("optimizer.lr")[["accuracy", "accuracy@mnist_5k"]].mean()
    scaled = api.calibration(SPACE, "mnist_5k", **where)
    means = results.groupby("optimizer.lr")["loss@mnist_5k"].mean().to_dict()
    assert scaled.groupby("optimizer.lr")["loss"].mean().to_dict() == pytest.approx(means, rel=1e-2), "16-bit logits"
    joined = api.ensembles(SPACE, **where).set_index("optimizer.lr")
    assert joined["mean"].to_dict() == pytest.approx(by_rate["accuracy"].to_dict(), abs=0.01)
    assert set(joined["n"]) == {2}
    [chosen] = api.reselect(SPACE, "optimizer.lr", by="loss", **where).to_dict("records")
    assert chosen["mean"] == pytest.approx(by_rate["accuracy"][chosen["optimizer.lr"]])

    first = api.figure(SPACE, **where)
    assert first == api.figure(SPACE, first.layout.meta["title"].upper(), **where)
    assert "time" in api.figure(SPACE, "training time", **where).layout.meta["title"].lower()
    with pytest.raises(InputError, match=f"no figure with the title 'novel'; it has: {first.layout.meta['title']}"):
        api.figure(SPACE, "novel", **where)

    page = api.report(SPACE, reports=tmp_path / "reports", **where)
    assert page == tmp_path / "reports" / "notebook" / "report.html"
    assert "A high rate is better." in page.read_text()
    assert (tmp_path / "reports" / "index.html").exists()
    cells = list(csv.DictReader((page.parent / "cells.csv").read_text().splitlines()))
    changes = {float(c["optimizer.lr"]): float(c["mean"]) for c in cells if c["metric"] == "accuracy_change@mnist_5k"}
    assert changes == pytest.approx((by_rate["accuracy@mnist_5k"] - by_rate["accuracy"]).to_dict())

    monkeypatch.chdir(tmp_path)
    assert api.results(SPACE).equals(results), "the default store is the command line's"


def test_a_study_without_results_has_no_figure(tmp_path: Path, cache_dir: Path) -> None:
    where = api.Options(store=tmp_path / "mlruns", cache_dir=cache_dir)
    api.open_ledger(api.make_folders(tmp_path / "mlruns"), create=True)
    with pytest.raises(InputError, match="notebook has no cell with a finished trial"):
        api.figure(SPACE, **where)
    assert len(api.results(SPACE, **where)) == 0


def test_the_points_of_a_search_are_rows(tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]) -> None:
    """Written to a store and read back, they are those that were asked for."""
    where = api.Options(store=tmp_path / "mlruns", cache_dir=cache_dir)
    planner = make_planner(tmp_path, cache_dir)
    records = search_points(planner, at_best_lr(3e-3), num_points=4)
    write_records(new_ledger(tmp_path / "mlruns"), records.values())
    points = api.search_points(SEARCHED, **where)
    asked = [point for search in planner.plan(records).searches for point in search.points]
    assert points["number"].tolist() == [0, 1, 2, 3] * 2
    assert points["optimizer.lr"].tolist() == [point.values["optimizer.lr"] for point in asked]
    assert points["val_accuracy"].tolist() == [point.value("accuracy") for point in asked]
    assert [each for (each,) in points["identities"]] == [point.trials[0].identity for point in asked]
    assert api.search_points(SPACE, **where).empty


def test_its_keywords_are_the_options_of_the_command_line() -> None:
    keywords = {name.replace("num_seeds", "seeds") for name in api.Options.__annotations__}
    assert keywords == {*StudyOptions.__dataclass_fields__, "storage"} - {"study"}, "`run` alone uses --storage"


def test_a_misspelled_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="stor"):
        api.plan(SPACE, stor="mlruns")
