"""The tables of the paper's layout, against published numbers typed here a second time."""

import re

import pandas as pd
import pytest

import search_spaces
from search_spaces.space import SearchSpace
from study.paper_tables import layout, published_of, to_html, to_latex, to_markdown
from study.plan import Plan, Trial
from study.records import TrialRecord

# Table, study, a cell of it in the study's terms, the paper's number.
PAPER = [
    ("replication", {"dataset": "cifar10"}, 98.48),
    ("replication", {"dataset": "flowers102"}, 98.53),
    ("resolution", {"dataset": "cifar100", "resolution": 64}, 47.96),
    ("resolution", {"dataset": "flowers102", "resolution": 512}, 98.43),
    ("data_fraction", {"dataset": "flowers102", "model.name": "vit_b16_in21k", "data_fraction": 0.25}, 55.20),
    ("data_fraction", {"dataset": "cifar100", "model.name": "bit_r50x1_in21k", "data_fraction": 0.1}, 69.04),
    ("domain_shift", {"dataset": "weapons", "model.name": "bit_r50x1_in21k"}, 48.52),
    ("optimizer_schedule", {"optimizer.name": "adam", "optimizer.lr": 1e-3, "schedule.name": "cosine"}, 71.80),
    ("optimizer_schedule", {"optimizer.name": "sgd", "optimizer.lr": 1e-3, "schedule.name": "plateau"}, 98.75),
    ("pos_embed", {"image": "reported", "model.pos_embed": "none"}, 69.86),
]


@pytest.mark.parametrize("scale", ["paper", "nano"])
@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize(("study", "cell", "accuracy"), PAPER)
def test_a_cell_finds_the_papers_number(
    study: str, cell: dict[str, object], accuracy: float, recipe: str, scale: str
) -> None:
    space = search_spaces.load(study).at(scale, recipe)
    found = [
        row.accuracy_pct
        for candidate in space.candidates((0,))
        if cell.items() <= candidate.asked.items() and candidate.asked.get("budget", "") != "matched steps"
        for row in published_of(space, candidate)
        if row.source == "re_vit"
    ]
    assert found == [accuracy]


def test_what_the_paper_did_not_run_has_no_number_of_its() -> None:
    for study, cell in (
        ("data_fraction", {"budget": "matched steps"}),
        ("optimizer_schedule", {"optimizer.lr": 1e-4}),
        ("optimizer_schedule", {"optimizer.name": "adamw"}),
        ("pos_embed", {"image": "unreported"}),
    ):
        space = search_spaces.load(study)
        asked = [each for each in space.candidates((0,)) if cell.items() <= each.asked.items()]
        assert asked
        assert not any(published_of(space, each) for each in asked)


def plan_of(space: SearchSpace, accuracy: float) -> Plan:
    """A plan whose trials have all finished with one accuracy, but for the last, which diverged."""
    trials = []
    for number, candidate in enumerate(space.candidates((0, 1))):
        known = TrialRecord(
            run_id=str(number), identity=str(number), outcome="finished", last_step=1,
            metrics={"test_accuracy": accuracy, "chosen_val_accuracy": accuracy},
            params={}, tags={},
        )  # fmt: skip
        trials.append(
            Trial(
                candidate=candidate,
                identity=str(number),
                images=None,
                weights=None,
                num_steps=1,
                num_test=1000,
                known=known,
                origin={},
            )
        )
    trials.pop()
    return Plan(space=space, trials=trials)


def test_the_layout_is_the_papers_and_each_cell_has_ours_theirs_and_the_difference() -> None:
    space = search_spaces.load("resolution")
    table = layout(plan_of(space, 0.9))
    assert list(table.columns) == ["512", "384", "224", "128", "64"]
    assert list(table.index) == ["cifar100", "flowers102_nelorth"]
    assert table.loc["cifar100", "224"] == ("90.00", "[90.00, 90.00]", "n = 2", "paper 91.19 (-1.19)")
    assert table.loc["flowers102_nelorth", "64"][0] == "90.00"
    assert table.loc["flowers102_nelorth", "64"][2] == "n = 1 (Wilson)"
    nano = layout(plan_of(space.at("nano", None), 0.9))
    assert nano.loc["photos", "28"][3:] == ("paper 91.19",), "no difference: not comparable"
    for text in (to_html(table), to_markdown(table), to_latex(table, "", [], "")):
        assert "resolution 512" in text, "a number alone does not say of what"


def test_points_that_are_not_run_leave_empty_cells() -> None:
    table = layout(plan_of(search_spaces.load("optimizer_schedule"), 0.9))
    assert table.loc[("sgd", "0.01"), "plateau"] == ()
    assert table.loc[("sgd", "0.001"), "plateau"][3] == "paper 98.75 (-8.75)"


def test_without_columns_every_cell_has_its_row() -> None:
    table = layout(plan_of(search_spaces.load("quickstart"), 0.9))
    assert table.shape == (4, 1)
    assert table.loc[("sgd", "cosine")].iloc[0] == ("90.00 [90.00, 90.00], n = 2",)


NASTY = r"<b>a_b</b> & 50% | $x^2$ \ {~} #1"


def test_no_line_of_a_latex_table_begins_with_what_its_line_break_takes_for_its_own() -> None:
    table = pd.DataFrame({"a": [("1", "[2, 3]", "*")]}, index=pd.Index(["[b]"], name=""))
    assert not re.search(r"\\\\\s*[\[*]", to_latex(table, "", [], "").replace(r"\\[3pt]", ""))


def test_names_that_mean_something_to_a_format_are_escaped() -> None:
    table = pd.DataFrame({NASTY: [(NASTY, "second line")]}, index=pd.Index([NASTY], name="axis_1"))
    html = to_html(table)
    assert "<b>" not in html
    assert html.count("&lt;b&gt;a_b&lt;/b&gt; &amp; 50%") == 3
    latex = to_latex(table, NASTY, [NASTY], NASTY)
    assert r"axis\_1" in latex
    assert latex.count(r"\textless{}b\textgreater{}a\_b\textless{}/b\textgreater{} \& 50\%") == 5
    assert r"\texttt{\textless{}b\textgreater{}a\_b\textless{}/\allowbreak{}b\textgreater{} \& 50\%" in latex
    assert latex.count(r"\textbar{} \$x\textasciicircum{}2\$ \textbackslash{}") == 6
    assert not re.search(r"(?<!\\)[&%#~^|<>$]", latex.replace(" & ", ""))
    assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert latex.index(r"\end{tabular}") < latex.rindex(r"\_b") < latex.index(r"\end{table}")
    assert "<b>" not in to_markdown(table)
    [heading, _, row] = to_markdown(table).splitlines()
    assert len(re.findall(r"(?<!\\)\|", heading)) == len(re.findall(r"(?<!\\)\|", row)) == 3
    assert "<br>second line" in row
