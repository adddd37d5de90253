"""`list`, `models`, `axes` show everything there is."""

import sys

import pytest

import search_spaces
from revit.models.architectures import MODELS
from study.cli.main import main


def shown(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the output of a command."""
    monkeypatch.setattr(sys, "argv", ["revit-study", command, *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return capsys.readouterr().out


def test_list_shows_every_study_with_trials_and_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown("list", monkeypatch, capsys).splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(search_spaces.names())
    for line in lines:
        space = search_spaces.load(line.split()[0])
        assert line.rstrip().endswith(space.question)
        num_points = sum(space.num_points(cell) for cell in space.list_cells() if cell.axes)
        assert line.split()[1] == str(len(space.candidates(space.seeds)) + num_points)


def test_models_shows_every_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown("models", monkeypatch, capsys)
    assert set(MODELS) <= set(text.split())
    assert f"{MODELS['vit_b16_in21k'].num_params / 1e6:.2f} M" in text


def test_axes_shows_every_axis_with_type_default_and_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown("axes", monkeypatch, capsys)
    assert "\nselection: one of last, best_val [default: last]\n    weights that are tested" in text
    assert text.startswith("dataset: text\n    a name from docs/datasets.md, or")
    assert "\nseed:" not in text


def test_axes_are_found_by_path_or_meaning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def paths(*words: str) -> list[str]:
        printed = shown("axes", monkeypatch, capsys, *words)
        return [line.partition(":")[0] for line in printed.splitlines() if not line.startswith(" ")]

    assert paths("Dropout") == ["model.dropout", "model.attn_dropout", "model.head_dropout", "micro_batch"]
    assert paths("stochastic depth") == ["model.drop_path"]
    assert paths("nothing has this") == []
    assert len(paths()) > 50
