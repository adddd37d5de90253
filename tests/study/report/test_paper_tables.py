"""The tables of the paper's layout, against published numbers typed here a second time."""

import re

import pandas as pd
import pytest

import search_spaces
from revit.config import FineTuneConfig
from search_spaces.framework.published import Published, published
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.space import SearchSpace
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Plan, Trial
from study.report.caveats import tuning_caveats
from study.report.paper_tables import paper_table, published_of, to_html, to_latex, to_markdown

# Table, study, a cell of it in the study's terms, the paper's number.
PAPER = [
    ("replication", {"dataset": "cifar10"}, 98.48),
    ("replication", {"dataset": "flowers"}, 98.53),
    ("resolution", {"dataset": "cifar100", "resolution": 64}, 47.96),
    ("resolution", {"dataset": "flowers", "resolution": 512}, 98.43),
    ("data_fraction", {"dataset": "flowers", "model.name": "vit_b16_in21k", "data_fraction": 0.25}, 55.20),
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
    space = search_spaces.load(study).variant(scale=scale, recipe=recipe)
    found = [
        row.accuracy_pct
        for candidate in space.candidates((0,))
        if cell.items() <= candidate.requested_values.items()
        and candidate.requested_values.get("budget", "") != "matched steps"
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
        asked = [each for each in space.candidates((0,)) if cell.items() <= each.requested_values.items()]
        assert asked
        assert not any(published_of(space, each) for each in asked)


def shown(recipe: str) -> set[Published]:
    """The rows that the studies show by a recipe."""
    spaces = [search_spaces.load(name) for name in search_spaces.names()]
    recipes = [space.variant(recipe=recipe) for space in spaces if space.base is None and accepts(space, recipe)]
    return {row for space in recipes for each in space.candidates((0,)) for row in published_of(space, each)}


def accepts(space: SearchSpace, recipe: str) -> bool:
    """Whether the recipe has anything to say of the study."""
    return space.table != 6 or recipe in ("paper", "authors")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_of_the_papers_stands_beside_its_cell_by_every_recipe(recipe: str) -> None:
    tables = [1, 2, 3, 4, 5, 6] if recipe in ("paper", "authors") else [1, 2, 3, 4, 5]
    quoted = {row for row in published() if row.source in ("re_vit", "vit_2021") and row.table in tables}
    assert len(quoted) == (45 if 6 in tables else 43)
    assert quoted <= shown(recipe)


NOWHERE = {
    ("cifar10", "vit_b16_in21k", 224): "on CIFAR-10, Table 1 is at 384 px, and Table 5 starts from other weights",
    ("cifar10", "bit_r50x1_in21k", 128): "no table of the paper has BiT on CIFAR-10",
}
"""Reference values that no study can show, and why."""


def test_every_reference_value_is_shown_by_a_study_or_it_is_known_why_not() -> None:
    everywhere = set().union(*(shown(recipe) for recipe in RECIPES))
    references = [row for row in published() if row.source not in ("re_vit", "vit_2021")]
    assert len(references) == 13
    hidden = {(row.dataset, row.model, row.resolution) for row in references if row not in everywhere}
    assert hidden == NOWHERE.keys()


def test_a_reference_value_stands_beside_the_same_experiment_only() -> None:
    """BiT's own number is of its own rule and 128 px: not beside BiT by the paper's recipe."""
    bit = {row for row in published() if row.source == "bit_readme" and row.dataset == "cifar100"}
    assert bit <= shown("bit_hyperrule")
    assert not bit & shown("paper")


def test_what_the_study_sets_itself_must_be_as_published() -> None:
    fixed = {"dataset": "cifar100", "data_fraction": 1.0, "model.name": "vit_b16_in21k"}
    for resolution, accuracies in ((384, [90.81]), (224, [])):
        space = SearchSpace(
            name="asks", question="?", table=3, fixed={**fixed, "resolution": resolution},
            scientific={"budget": {"matched epochs": {"epoch_images": "used"}}}, seeds=(0,),
        )  # fmt: skip
        [each] = space.candidates((0,))
        assert [row.accuracy_pct for row in published_of(space, each)] == accuracies


def plan_of(space: SearchSpace, accuracy: float) -> Plan:
    """A plan whose trials have all finished with one accuracy, but for the last, which diverged."""
    trials = []
    for number, candidate in enumerate(space.candidates((0, 1))):
        known = TrialRecord(
            run_id=str(number), identity=str(number), state=TrialState.FINISHED, last_step=1,
            metrics={"test_accuracy": accuracy, "selected_val_accuracy": accuracy},
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
                record=known,
                input_digests={},
            )
        )
    trials.pop()
    return Plan(space=space, trials=trials)


def test_values_that_are_equal_in_six_digits_are_two_cells() -> None:
    space = SearchSpace(
        name="asks", question="?", base=FineTuneConfig(dataset="digits", steps=1), columns=("optimizer.lr",),
        scientific={"optimizer.lr": (0.12345671, 0.12345672, 0.001), "hflip": (True, False)},
    )  # fmt: skip
    table = paper_table(plan_of(space, 0.9))
    assert table.shape == (2, 3)
    assert list(table.columns) == ["0.12345671", "0.12345672", "0.001"]


ELSEWHERE = "vit-finetune 92.89 (-2.89), SGD .01, batch 128, 5000 steps, warmup 500, AMP"


def test_the_layout_is_the_papers_and_each_cell_has_ours_theirs_and_the_difference() -> None:
    space = search_spaces.load("resolution")
    table = paper_table(plan_of(space, 0.9))
    assert list(table.columns) == ["512", "384", "224", "128", "64"]
    assert list(table.index) == ["cifar100", "flowers102_nelorth"]
    assert table.loc["cifar100", "224"] == ("90.00", "[87.97, 91.79]", "n = 2", "paper 91.19 (-1.19)", ELSEWHERE)
    assert table.loc["flowers102_nelorth", "64"][0] == "90.00"
    assert table.loc["flowers102_nelorth", "64"][2] == "n = 1 (images only)"
    nano = paper_table(plan_of(space.variant(scale="nano"), 0.9))
    theirs = ("paper 91.19", ELSEWHERE.replace(" (-2.89)", ""))
    assert nano.loc["photos", "28"][3:] == theirs, "no difference: not comparable"
    for text in (to_html(table), to_markdown(table), to_latex(table, "", [], "")):
        assert "resolution 512" in text, "a number alone does not say of what"


def test_a_cell_says_what_was_tuned_in_every_format() -> None:
    """With every rate equally good on validation images, the first of each cell's is chosen."""
    plan = plan_of(search_spaces.load("replication").variant(scale="nano", recipe="vit_2021"), 0.9)
    table = paper_table(plan)
    for text in (to_html(table), to_markdown(table), to_latex(table, "", [], "")):
        assert text.count("optimizer.lr 0.01, tuned") == 3
    [told] = tuning_caveats(plan)
    assert told.startswith("optimizer.lr is tuned in each cell over 0.01, 0.03, 0.1, 0.3: the best mean")
    assert tuning_caveats(plan_of(search_spaces.load("resolution"), 0.9)) == []


def test_points_that_are_not_run_leave_empty_cells() -> None:
    table = paper_table(plan_of(search_spaces.load("optimizer_schedule"), 0.9))
    assert table.loc[("sgd", "0.01"), "plateau"] == ()
    assert table.loc[("sgd", "0.001"), "plateau"][3] == "paper 98.75 (-8.75)"


def test_without_columns_every_cell_has_its_row() -> None:
    table = paper_table(plan_of(search_spaces.load("quickstart"), 0.9))
    assert table.shape == (4, 1)
    assert table.loc[("sgd", "cosine")].iloc[0] == ("90.00 [87.97, 91.79], n = 2",)


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
