"""Tables in the paper's layout, against published numbers typed here a second time."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from revit.config import FineTuneConfig
from search_spaces.framework.published import Published, read_paper
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.space import SearchSpace
from study.analysis.intervals import LEVEL, image_half_widths
from study.ledger.schema import value_name
from study.plan import Plan
from study.report.paper_tables import best_note, paper_table, seeds_note
from study.report.table_markup import to_html, to_latex, to_markdown
from tests.study.report.small_study import finish
from tests.study.searched_study import at_best_lr, make_planner, searched_plan

RESULTS = [row for row in read_paper("re_vit").rows if row.epoch is None]

# Table, study, a cell of it in the study's terms, the paper's number.
PAPER = [
    ("replication", {"dataset": "cifar10"}, 98.48),
    ("replication", {"dataset": "flowers"}, 98.53),
    ("resolution", {"dataset": "cifar100", "resolution": 64}, 47.96),
    ("resolution", {"dataset": "flowers", "resolution": 512}, 98.43),
    ("data_fraction", {"dataset": "flowers", "model.name": "vit_b16_in21k", "data_fraction": 0.25}, 55.20),
    ("data_fraction", {"dataset": "cifar100", "model.name": "bit_r50x1_in21k", "data_fraction": 0.1}, 69.04),
    ("domain_shift", {"dataset": "weapons", "model.name": "bit_r50x1_in21k"}, 48.52),
    ("optimizer_schedule", {"optimizer.name": "adam", "learning_rate": "fixed", "schedule.name": "cosine"}, 71.80),
    ("optimizer_schedule", {"optimizer.name": "sgd", "learning_rate": "fixed", "schedule.name": "plateau"}, 98.75),
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
        row.value
        for candidate in space.candidates((0,))
        if cell.items() <= candidate.requested_values.items()
        and candidate.requested_values.get("budget", "") != "matched steps"
        for row in space.published(candidate)
        if not row.source
    ]
    assert found == [accuracy]


def test_a_cell_that_the_paper_did_not_run_has_no_published_value() -> None:
    for study, cell in (
        ("data_fraction", {"budget": "matched steps"}),
        ("optimizer_schedule", {"learning_rate": "tuned"}),
        ("optimizer_schedule", {"optimizer.name": "adamw"}),
        ("pos_embed", {"image": "unreported"}),
    ):
        space = search_spaces.load(study)
        asked = [each for each in space.candidates((0,)) if cell.items() <= each.requested_values.items()]
        assert asked
        assert not any(space.published(each) for each in asked)


def shown(recipe: str) -> set[Published]:
    """Return the rows that the studies show by a recipe."""
    spaces = [search_spaces.load(name) for name in search_spaces.names_in()]
    recipes = [space.variant(recipe=recipe) for space in spaces if space.base is None and accepts(space, recipe)]
    return {row for space in recipes for each in space.candidates((0,)) for row in space.published(each)}


def accepts(space: SearchSpace, recipe: str) -> bool:
    """Return whether the recipe has a config for the study."""
    return space.experiment != "from_scratch" or recipe in ("paper", "authors")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_of_the_paper_is_shown_by_every_recipe(recipe: str) -> None:
    tables = "123456" if recipe in ("paper", "authors") else "12345"
    quoted = {row for row in RESULTS if row.source in ("", "ViT") and row.table in tables}
    assert len(quoted) == (45 if "6" in tables else 43)
    assert quoted <= shown(recipe)


HIDDEN = {
    ("cifar10", "vit_b16_in21k", 224): "on CIFAR-10, Table 1 is at 384 px, and Table 5 starts from other weights",
    ("cifar10", "bit_r50x1_in21k", 128): "no table of the paper has BiT on CIFAR-10",
}
"""Reference values that no study can show, and why."""


def test_every_reference_value_is_shown_by_a_study_or_listed_as_hidden() -> None:
    everywhere = set().union(*(shown(recipe) for recipe in RECIPES))
    references = [row for row in RESULTS if row.source not in ("", "ViT")]
    assert len(references) == 13
    hidden = {
        tuple(row.point[axis] for axis in ("dataset", "model.name", "resolution"))
        for row in references
        if row not in everywhere
    }
    assert hidden == HIDDEN.keys()


def test_a_reference_value_is_shown_only_for_the_same_experiment() -> None:
    """BiT's published number is for its own rule and 128 px, not for the paper's recipe."""
    bit = {row for row in RESULTS if row.source == "BiT code" and row.point["dataset"] == "cifar100"}
    assert bit <= shown("bit_hyperrule")
    assert not bit & shown("paper")


def test_fixed_fields_of_a_study_must_match_the_published_row() -> None:
    fixed = {"dataset": "cifar100", "data_fraction": 1.0, "model.name": "vit_b16_in21k"}
    for resolution, accuracies in ((384, [90.81]), (224, [])):
        space = SearchSpace(
            name="asks", question="?", paper="re_vit", table="3", fixed={**fixed, "resolution": resolution},
            scientific={"budget": {"matched epochs": {"epoch_images": "used"}}}, seeds=(0,),
        )  # fmt: skip
        [each] = space.candidates((0,))
        assert [row.value for row in space.published(each)] == accuracies


def plan_of(space: SearchSpace, accuracy: float) -> Plan:
    """Return a plan whose trials have finished with one accuracy, but for the last, which is left out."""
    plan = finish(space, (0, 1), itertools.repeat(accuracy))
    return replace(plan, trials=plan.trials[:-1])


def test_values_with_the_same_six_digits_are_two_cells() -> None:
    space = SearchSpace(
        name="asks", question="?", base=FineTuneConfig(dataset="digits", steps=1), columns=("optimizer.lr",),
        scientific={"optimizer.lr": (0.12345671, 0.12345672, 0.001), "hflip": (True, False)},
    )  # fmt: skip
    table = paper_table(plan_of(space, 0.9))
    assert table.shape == (2, 3)
    assert list(table.columns) == ["0.12345671", "0.12345672", "0.001"]


FLOWERS = "Flowers-102 (nelorth's split)"
ELSEWHERE = "vit-finetune 92.89 (-2.89), SGD .01, batch 128, 5000 steps, warmup 500, AMP"


def test_the_layout_is_the_papers_with_our_result_published_values_and_differences() -> None:
    space = search_spaces.load("resolution")
    table = paper_table(plan_of(space, 0.9))
    assert list(table.columns) == ["512", "384", "224", "128", "64"]
    assert list(table.index) == ["CIFAR-100", FLOWERS]
    assert table.loc["CIFAR-100", "224"] == ("90.00", "[87.97, 91.79]", "paper 91.19 (-1.19)", ELSEWHERE)
    assert table.loc[FLOWERS, "64"][0] == "90.00"
    assert table.loc[FLOWERS, "64"][2] == "n = 1 (images only)"
    nano = paper_table(plan_of(space.variant(scale="nano"), 0.9))
    theirs = ("paper 91.19", ELSEWHERE.replace(" (-2.89)", ""))
    assert nano.loc["photos", "28"][2:] == theirs, "no difference: not comparable"
    for text in (to_html(table, "results"), to_markdown(table), to_latex(table, "", [], "")):
        assert "resolution 512" in text, "a number has its axis"


def test_a_published_number_says_over_how_many_runs_it_is_a_mean(tmp_path: Path) -> None:
    paper = tmp_path / "runs.csv"
    paper.write_text("# title: t\n# authors: a\n# url: u\ntable,value,n,source,note\n1,91,5,,frozen\n1,92,,code,\n")
    space = SearchSpace(
        name="asks", question="?", base=FineTuneConfig(dataset="digits", steps=1), paper=paper, table="1",
        scientific={"mixup": (0.0, 0.1)},
    )  # fmt: skip
    table = paper_table(plan_of(space, 0.9))
    assert table.loc["0"].iloc[0][1:] == ("paper 91.00 (-1.00), mean of 5 runs, frozen", "code 92.00 (-2.00)")


def test_a_cell_shows_the_tuned_values_in_every_format() -> None:
    """The first rate is selected, as all have the same validation accuracy."""
    plan = plan_of(search_spaces.load("replication").variant(scale="nano", recipe="vit_2021"), 0.9)
    table = paper_table(plan)
    for text in (to_html(table, "results"), to_markdown(table), to_latex(table, "", [], "")):
        assert text.count("learning rate 0.01, tuned") == 3


def test_points_that_the_constraint_leaves_out_are_empty_cells() -> None:
    study = search_spaces.load("optimizer_schedule")
    space = replace(study, claims=(), constraint=lambda config: config.optimizer.name == "sgd" or not is_linear(config))
    table = paper_table(plan_of(space, 0.9))
    assert table.loc[("Adam", "fixed"), "linear"] == ()
    assert table.loc[("SGD", "fixed"), "plateau"][2] == "paper 98.75 (-8.75)"


def is_linear(config: FineTuneConfig) -> bool:
    return config.schedule.name == "linear"


def test_without_columns_every_cell_has_its_row() -> None:
    table = paper_table(plan_of(search_spaces.load("quickstart"), 0.9))
    assert table.shape == (4, 1)
    assert table.loc[("SGD", "cosine")].iloc[0] == ("90.00 [87.97, 91.79]",)


def test_the_number_of_seeds_is_said_once_and_where_a_cell_has_another() -> None:
    quickstart = search_spaces.load("quickstart")
    whole = finish(quickstart, (0, 1), itertools.repeat(0.9))
    assert seeds_note(whole) == "n = 2 seeds in each cell."
    assert not any("n =" in text for [text] in paper_table(whole).iloc[:, 0])
    partly = plan_of(quickstart, 0.9)
    assert seeds_note(partly) == "n = 2 seeds where a cell shows no other n."
    assert [text.endswith(", n = 1 (images only)") for text, *_ in paper_table(partly).iloc[:, 0]] == [
        *3 * [False],
        True,
    ]
    one = finish(quickstart, (0,), itertools.repeat(0.9))
    assert seeds_note(one) == "n = 1 seed in each cell: intervals are over test images only."
    assert seeds_note(whole.with_records({})) == ""


def test_the_best_cell_of_each_dataset_is_marked_in_words() -> None:
    space = replace(search_spaces.load("resolution"), claims=())
    accuracies = [0.8, 0.9, 0.7, 0.7, 0.7, 0.5, 0.6, 0.5, 0.5, 0.5]
    plan = finish(space, (0,), accuracies)
    table = paper_table(plan)
    marked = {place: lines[0] for place, lines in table.stack([0]).items() if "best" in lines[0]}
    assert marked == {("CIFAR-100", "384"): "90.00 (best)", (FLOWERS, "384"): "60.00 (best)"}
    assert best_note(plan) == "Best: the highest mean of its dataset, which is not always a real difference."
    assert to_html(table, "results").count('<td class="best">') == 2
    assert best_note(finish(space, (0,), itertools.repeat(0.9))) == "", "all are equal"


def test_chosen_values_and_the_progress_of_a_search_are_in_the_cell(tmp_path: Path, cache_dir: Path) -> None:
    """A value is shown once it is chosen, whether or not it has been tested."""
    planner = make_planner(tmp_path, cache_dir)
    waiting = paper_table(searched_plan(planner, at_best_lr(3e-3), num_points=4))
    assert waiting.iloc[0, 0] == ("-", "search at 4 of 6 points")
    chosen = paper_table(searched_plan(planner, at_best_lr(3e-3), tested=False))
    assert chosen.iloc[0, 0] == ("-", "learning rate 0.00469, tuned", "2 not run")
    assert chosen.iloc[1, 0][1:3] == ("learning rate 0.0017, tuned", "weight decay 0.00899, tuned")
    done = paper_table(searched_plan(planner, at_best_lr(3e-3)))
    assert done.iloc[0, 0][1:] == ("learning rate 0.00469, tuned",)


SEVERAL = SearchSpace(
    name="several",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5, test_sets=("mnist_5k",)),
    scientific={"resolution": (8, 28), "optimizer.lr": (0.1, 0.2)},
    seeds=(0,),
    metrics=("accuracy@mnist_5k", "loss"),
)


def several_plan(space: SearchSpace) -> Plan:
    """Return a plan that is measured in each of its metrics: of its last cell no loss is known."""
    plan = finish(space, (0,), [0.9, 0.8, 0.7, 0.6])
    further = []
    for name, values in (("accuracy@mnist_5k", (0.5, 0.4, 0.3, 0.25)), ("loss", (0.5, 1.0, 2.0, None))):
        trials = []
        for trial, value in zip(plan.trials, values, strict=True):
            metrics = {**trial.record.metrics, **({} if value is None else {value_name(name): value})}
            record = replace(trial.record, metrics=metrics)
            trials.append(replace(trial, record=record, unmeasured="without loss" if value is None else ""))
        further.append(replace(plan, trials=trials, space=plan.space.about(name)))
    return replace(plan, further=further)


def test_a_further_metric_is_a_column_with_its_intervals() -> None:
    table = paper_table(several_plan(SEVERAL))
    assert list(table) == ["test accuracy, %", "accuracy on mnist_5k, %", "test negative log-likelihood, nats"]
    there = [lines[0] for lines in table["accuracy on mnist_5k, %"]]
    assert [text.partition(" ")[0] for text in there] == ["50.00", "40.00", "30.00", "25.00"]
    low, high = image_half_widths(0.25, 1000, LEVEL / 2)
    assert there[3] == f"25.00 [{25 - 100 * low:.2f}, {25 + 100 * high:.2f}]"
    assert [lines[0] for lines in table["test negative log-likelihood, nats"]] == ["0.5000", "1.0000", "2.0000", "-"]
    assert "accuracy on mnist" in to_html(table, "results")


def test_a_further_metric_is_a_line_where_a_table_has_columns() -> None:
    table = paper_table(several_plan(replace(SEVERAL, columns=("optimizer.lr",))))
    lines = table.iloc[0, 1]
    assert sum(line.startswith("accuracy on mnist_5k, % 40.00 [") for line in lines) == 1
    assert "test negative log-likelihood, nats 1.0000" in lines
