"""Ready studies that tune: what runs, what is compared, what is tested."""

import sys
from pathlib import Path

import pytest

import run_study
import search_spaces
from study.ledger.ledger import Ledger


@pytest.mark.slow
def test_fair_optimizers_tunes_each_optimizer_and_tests_what_won(
    ray_cluster: None,
    one_slot: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Shortened: 2 points for each of 2 optimizers, 4 steps, 1 seed."""
    folders = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(tmp_path / "cache")]
    short = ["--num-trials", "2", "--set", "steps=4", "--seeds", "1", "--only", "optimizer.name=sgd,adamw"]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "fair_optimizers", *short, *folders])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    shown = capsys.readouterr().out
    assert stop.value.code == 0, shown
    assert "6 trials, 0 done, 6 to run" in shown
    trials = list(Ledger(tmp_path / "mlruns").trials().values())
    searched = [trial for trial in trials if trial.tags["phase"] == "search"]
    for optimizer in ("sgd", "adamw"):
        points = [trial for trial in searched if trial.params["optimizer.name"] == optimizer]
        best = max(points, key=lambda trial: trial.metrics["selected_val_accuracy"])
        [tested] = [trial for trial in trials if trial not in searched and trial.params["optimizer.name"] == optimizer]
        assert len(points) == 2
        assert tested.params["optimizer.lr"] == best.params["optimizer.lr"]
        assert (tested.params["val_fraction"], best.params["val_fraction"]) == ("0.0", "0.1")
        assert "test_accuracy" in tested.metrics
        assert not any("test_accuracy" in trial.metrics for trial in points)


@pytest.mark.parametrize("scale", ["paper", "nano"])
def test_table_5_is_judged_at_the_papers_rate_and_at_tuned_ones(scale: str) -> None:
    """Tuned cells begin at the paper's rate; fixed ones have nothing to tune."""
    space = search_spaces.load("optimizer_schedule").variant(scale=scale)
    factor = 10 if scale == "nano" else 1
    cells = {tuple(cell.values.values()): cell for cell in space.list_cells()}
    assert len(cells) == 3 * 2 * 4
    for (optimizer, rate, _), cell in cells.items():
        tuned = {"optimizer.lr", *({"optimizer.weight_decay"} if optimizer == "adamw" else set())}
        assert cell.axes.keys() == (tuned if rate == "tuned" else set())
        if rate == "fixed":
            assert space.candidate(cell, {}, 0).config.optimizer.lr == pytest.approx(1e-3 * factor)
        else:
            assert space.search.enqueue[0]["optimizer.lr"] == 1e-3
            assert cell.axes["optimizer.lr"].has(1e-3)
    by_rate = [str(claim.where["learning_rate"]) for claim in space.claims]
    assert by_rate == ["fixed", "fixed", "tuned", "tuned"]
    assert [claim.quote for claim in space.claims[:2]] == [claim.quote for claim in space.claims[2:]]
