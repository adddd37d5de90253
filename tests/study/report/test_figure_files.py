"""Figures of a report as files against those of the page."""

import re
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.figure_files import name_figures
from study.report.figures import draw_figures
from study.report.report_folder import TRIALS
from tests.study.report.small_study import study_of, write


def test_every_figure_of_the_page_is_a_file_that_plotly_opens(finished: tuple[Plan, Ledger], folder: Path) -> None:
    drawn = draw_figures(study_of(*finished))
    page = (folder / "report.html").read_text()
    ids = re.findall('<figure id="(.*?)">', page)
    assert len(ids) == len(drawn) == 12
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{name}.json" for name in ids}
    for name, figure in zip(ids, drawn, strict=True):
        assert plotly.io.read_json(folder / "figures" / f"{name}.json") == figure
    assert "03-validation-accuracy-during-training" in ids


def test_figures_of_an_earlier_report_are_deleted(finished: tuple[Plan, Ledger], tmp_path: Path) -> None:
    plan, ledger = finished
    write(plan, ledger, tmp_path)
    assert (tmp_path / "figures" / "04-training-loss-during-training.json").exists()
    (tmp_path / TRIALS).unlink()
    write(plan.with_records({}), ledger, tmp_path)
    assert list((tmp_path / "figures").iterdir()) == []


def test_file_names_of_figures_are_safe_and_differ() -> None:
    titles = ["Of ../up/a", "Of C:\\up", "Of UP A", "Of 猫", f"Of {'long ' * 99}"]
    names = list(name_figures([go.Figure(layout_meta={"title": title}) for title in titles]))
    assert names[:-1] == ["01-of-up-a", "02-of-c-up", "03-of-up-a", "04-of"]
    assert re.fullmatch("05-of(-long)+(-lo)?", names[-1])
    assert len(names[-1]) <= 100
