import subprocess
import sys
from pathlib import Path

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace

BASE = FineTuneConfig(dataset="digits", steps=10)


def space_of(**changes: object) -> SearchSpace:
    given = {
        "name": "example",
        "question": "Does it?",
        "base": BASE,
        "scientific": {"resolution": (8, 28), "schedule.name": ("cosine", "linear")},
        **changes,
    }
    return SearchSpace(**given)


def test_a_space_is_the_crossing_of_its_axes_for_every_seed() -> None:
    space = space_of(nuisance={"optimizer.lr": (0.1, 0.01, 0.001)}, seeds=(0, 5))
    asked = space.candidates(space.seeds)
    assert len(asked) == 2 * 2 * 3 * 2
    assert len({each.config for each in asked}) == len(asked)
    for each in asked:
        flat = each.config.flat()
        for path, value in {**each.cell, **each.nuisance}.items():
            assert flat[path] == value
    assert [each.config.seed for each in asked] == [0] * 12 + [5] * 12, "a seed is complete before the next"


def test_a_named_level_sets_several_fields() -> None:
    levels = {"slow": {"optimizer.lr": 0.001, "steps": 100}, "fast": {"optimizer.lr": 0.1, "steps": 10}}
    asked = space_of(scientific={"pace": levels}, seeds=(0,)).candidates((0,))
    assert [(each.cell, each.config.optimizer.lr, each.config.steps) for each in asked] == [
        ({"pace": "slow"}, 0.001, 100),
        ({"pace": "fast"}, 0.1, 10),
    ]


def test_constraint_leaves_out_points_by_their_typed_config() -> None:
    def no_linear_at_28(config: FineTuneConfig) -> bool:
        return not (config.resolution == 28 and config.schedule.name == "linear")

    cells = [each.cell for each in space_of(constraint=no_linear_at_28, seeds=(0,)).candidates((0,))]
    assert {"resolution": 28, "schedule.name": "linear"} not in cells
    assert len(cells) == 3


WRONG = {
    "a misspelt axis": ({"scientific": {"optimizzer.lr": (0.1,)}}, "optimizer.lr"),
    "an impossible value": ({"scientific": {"resolution": (28, 30)}}, "resolution = 30"),
    "a value twice": ({"scientific": {"resolution": (28, 28)}}, "axis resolution has 28 twice"),
    "no values": ({"scientific": {"resolution": ()}}, "axis resolution has no values"),
    "a bare value": ({"scientific": {"resolution": 28}}, "must be a tuple"),
    "an axis in two roles": ({"nuisance": {"resolution": (8,)}}, "both scientific and nuisance"),
    "two axes on one field": (
        {"scientific": {"lr": {"low": {"optimizer.lr": 0.1}}, "optimizer.lr": (0.2,)}},
        "axes lr and optimizer.lr both set optimizer.lr",
    ),
    "an axis over seeds": ({"scientific": {"seed": (0, 1)}}, "seed"),
    "no scientific axis": ({"scientific": {}}, "nothing to compare"),
    "tuning without validation": (
        {"base": BASE.with_values({"val_fraction": 0.0}), "nuisance": {"optimizer.lr": (0.1,)}},
        "val_fraction is 0",
    ),
    "an axis of two lines": ({"scientific": {"a\nb": {"a": {"steps": 1}}}}, "must be text of one line"),
    "an axis without a name": ({"scientific": {"": {"a": {"steps": 1}}}}, "axis = ''"),
    "a label with an escape": ({"scientific": {"pace": {"\x1b[31m": {"steps": 1}}}}, "axis pace, label = '\\x1b[31m'"),
    "a label of spaces": ({"scientific": {"pace": {" ": {"steps": 1}}}}, "axis pace, label = ' '"),
    "a question with an empty line": ({"question": "Does\n\nit?"}, "question = 'Does\\n\\nit?'"),
    "no question": ({"question": ""}, "question = ''"),
    "a value twice in two types": ({"scientific": {"optimizer.lr": (1, 1.0)}}, "axis optimizer.lr has 1 twice"),
    "no seeds": ({"seeds": ()}, "no seeds"),
    "a seed twice": ({"seeds": (1, 1)}, "seeds"),
    "a factor without effect": (
        {"scientific": {"optimizer.name": ("sgd", "adam"), "optimizer.momentum": (0.9, 0.5)}},
        "optimizer.momentum 0.9 and 0.5 would train the same at optimizer.name adam, optimizer.momentum 0.5",
    ),
    "a plateau that looks too rarely": (
        {"base": BASE.with_values({"num_evals": 3}), "scientific": {"schedule.name": ("constant", "plateau")}},
        "schedule.name constant and plateau would train the same",
    ),
    "a constraint that leaves out all": ({"constraint": lambda config: False}, "leaves out every point"),
}


def test_lists_are_as_good_as_tuples() -> None:
    lists = {"scientific": {"crop_scale": [[0.5, 1.0], [0.6, 1.0]]}, "nuisance": {"optimizer.lr": [0.1, 0.2]}}
    tuples = {"scientific": {"crop_scale": ((0.5, 1.0), (0.6, 1.0))}, "nuisance": {"optimizer.lr": (0.1, 0.2)}}
    space = space_of(**lists, seeds=[0, 1], columns=["crop_scale"])
    assert space == space_of(**tuples, seeds=(0, 1), columns=("crop_scale",))
    assert [each.config.crop_scale for each in space.candidates((0,))] == [(0.5, 1.0)] * 2 + [(0.6, 1.0)] * 2


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_space_fails_when_it_is_written(case: str) -> None:
    changes, told = WRONG[case]
    with pytest.raises(InputError) as raised:
        space_of(**changes)
    assert str(raised.value).startswith("search space example: ")
    assert told in str(raised.value)


@pytest.mark.parametrize("name", search_spaces.names())
def test_every_study_loads_and_its_module_says_what_it_asks(name: str) -> None:
    space = search_spaces.load(name)
    assert space.name == name
    module = sys.modules[f"search_spaces.{name}"]
    told = module.__doc__ or ""
    assert f"run_study.py run {name}" in told
    assert f"= {len(space.candidates(space.seeds))}" in told, "the docstring states the number of trials"


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("SPACE = 3", "defines no SPACE"),
        ("from revit.config import FineTuneConfig\nFineTuneConfig(dataset='digits', stepz=5)", "stepz"),
        ("from revit.config import FineTuneConfig\nFineTuneConfig(dataset='digits', steps=0)", "steps = 0"),
        ("SPACE = (", "SyntaxError"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("from search_spaces.quickstart import SPACE", "must be 'broken'"),
    ],
)
def test_a_broken_module_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, told: str
) -> None:
    (tmp_path / "broken.py").write_text(module)
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "search_spaces.broken", raising=False)
    with pytest.raises(InputError, match=r"search_spaces/broken\.py") as raised:
        search_spaces.load("broken")
    assert told in str(raised.value)


def test_an_unknown_study_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="did you mean quickstart"):
        search_spaces.load("quikstart")
    with pytest.raises(InputError, match=r"Known: .*quickstart"):
        search_spaces.load("space")


def test_questions_load_without_torch_and_ray() -> None:
    code = (
        "import sys, search_spaces\n"
        "for name in search_spaces.names(): search_spaces.load(name)\n"
        "heavy = {'torch', 'ray', 'mlflow', 'numpy', 'timm', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
