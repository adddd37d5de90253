"""Studies: one shared test for the modules of search_spaces/. test_cards.py tests their docstrings."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

import search_spaces
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from revit.functions import load_function, source_digest
from revit.models.architectures import MODELS
from search_spaces import framework
from search_spaces.framework import Claim
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace
from tests.command_line import write_study

TABLES = {
    "replication": "1",
    "resolution": "2",
    "data_fraction": "3",
    "domain_shift": "4",
    "optimizer_schedule": "5",
    "pos_embed": "6",
}


def studies() -> dict[str, SearchSpace]:
    """Return the studies of re_vit, and those that cross its factors."""
    spaces = {name: search_spaces.load(name) for name in search_spaces.names_in()}
    return {name: space for name, space in spaces.items() if space.base is None}


def test_every_table_of_the_paper_has_its_study() -> None:
    assert {name: space.table for name, space in studies().items() if space.table} == TABLES
    assert {space.paper for space in studies().values() if space.table} == {"re_vit"}
    assert set(studies()) == {*TABLES, "ablation_grid"}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", studies())
def test_every_study_is_valid_by_every_recipe_at_every_scale(name: str, recipe: str, scale: str) -> None:
    space = studies()[name]
    if space.experiment == "from_scratch" and recipe in ("vit_2021", "bit_hyperrule"):
        with pytest.raises(InputError, match="training from scratch"):
            space.variant(scale=scale, recipe=recipe)
        return
    variant = space.variant(scale=scale, recipe=recipe)
    candidates = variant.candidates((0,))
    cells = {str(each.cell) for each in candidates}
    assert len(cells) == len(space.candidates((0,))), "as many cells as by the paper's recipe at its scale"
    assert len(candidates) == len(cells)
    searched = {variant.num_points(cell) for cell in variant.list_cells() if cell.axes}
    if space.is_searched:
        assert searched == {8}
    else:
        assert searched == ({4} if recipe == "vit_2021" and "optimizer.lr" not in space.explicit_fields else set())
    for each in candidates:
        assert each.config.dataset in DATASETS
        assert each.config.model.name in MODELS


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", studies())
def test_a_study_with_claims_trains_the_models_it_names(name: str, recipe: str) -> None:
    """A recipe's own model is trained only where a study names none."""
    space = studies()[name]
    assert "model.name" in space.explicit_fields
    if recipe == "paper" or (space.experiment == "from_scratch" and recipe != "authors"):
        return
    assert paper_models(space.variant(recipe=recipe)) == paper_models(space)


def paper_models(space: SearchSpace) -> dict[str, str]:
    cells = [each.requested_values for each in space.candidates((0,))]
    return {str(cell): space.paper_config(cell).model.name for cell in cells}


@pytest.mark.parametrize("scale", SCALES)
def test_tables_1_and_2_share_the_trials_at_384(scale: str) -> None:
    one = {each.config for each in studies()["replication"].variant(scale=scale).candidates((0,))}
    two = {each.config for each in studies()["resolution"].variant(scale=scale).candidates((0,))}
    assert len(one & two) == 2


def test_matched_steps_gives_every_fraction_the_steps_of_the_whole() -> None:
    space = studies()["data_fraction"]
    for each in space.candidates((0,)):
        if each.cell["dataset"] != "cifar100" or each.cell["model.name"] != "vit_b16_in21k":
            continue
        num_steps = each.config.num_steps(round(49_000 * each.config.data_fraction), 49_000)
        share = each.config.data_fraction if each.cell["budget"] == "matched epochs" else 1
        assert num_steps == pytest.approx(share * 7 * 49_000 / 128, rel=0.03)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("SPACE = 3", "defines no SPACE"),
        ("from revit.config import FineTuneConfig\nFineTuneConfig(dataset='digits', stepz=5)", "stepz"),
        ("from revit.config import FineTuneConfig\nFineTuneConfig(dataset='digits', steps=0)", "steps = 0"),
        ("SPACE = (", "SyntaxError"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("from search_spaces.quickstart import SPACE", "must be 'broken'"),
    ],
)
def test_a_broken_module_is_named_in_one_line(tmp_path: Path, module: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(module)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}") as raised:
        search_spaces.load(str(path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_study_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="did you mean quickstart"):
        search_spaces.load("quikstart")
    with pytest.raises(InputError, match=r"Known: .*quickstart"):
        search_spaces.load("space")


LOSS = """
import torch.nn.functional as F
from helper import FACTOR


def scaled(logits, targets):
    return FACTOR * F.cross_entropy(logits, targets, reduction="none")
"""


@pytest.mark.parametrize("name", ["quickstart", "ablation_grid", "resolution"])
def test_a_study_is_the_same_from_a_file_anywhere(name: str, tmp_path: Path) -> None:
    packaged = Path(str(search_spaces.__file__)).with_name(f"{name}.py")
    copy = tmp_path / packaged.name
    copy.write_bytes(packaged.read_bytes())
    space = search_spaces.load(name)
    found = search_spaces.load(str(copy))
    assert replace(found, constraint=None) == replace(space, constraint=None)
    assert found.candidates((0, 1)) == space.candidates((0, 1))
    assert search_spaces.load(str(packaged)) is space


def test_the_name_of_a_packaged_study_is_for_the_same_space_only(tmp_path: Path) -> None:
    file = write_study(tmp_path / "quickstart.py", base="dataset='digits', steps=1", scientific={"hflip": (True,)})
    with pytest.raises(InputError, match="search_spaces has another study quickstart; rename the file") as raised:
        search_spaces.load(file)
    assert str(raised.value).startswith(file)


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.py", "is not a Python file"), ("folder.py", "is not a Python file"),
     ("my-study.py", "must be letters, digits and _"), ("class.py", "must be letters, digits and _"),
     ("statistics.py", "there is another module statistics"), ("time.py", "there is another module time"),
     ("revit.py", "there is another module revit")],
)  # fmt: skip
def test_a_file_that_cannot_be_a_study_is_named_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / name
    if name == "folder.py":
        path.mkdir()
    elif name != "absent.py":
        write_study(path, base="dataset='digits', steps=1", scientific={"hflip": (True,)})
    with pytest.raises(InputError, match=message) as raised:
        search_spaces.load(str(path))
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_is_named_relative_to_the_folder_and_read_again_once_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, steps in (("a", 1), ("b", 2), ("b", 3), ("a", 1)):
        Path(folder).mkdir(exist_ok=True)
        write_study(Path(folder, "mine.py"), base=f"dataset='digits', steps={steps}", scientific={"hflip": (True,)})
        base = search_spaces.load(f"{folder}/mine.py").base
        assert base is not None
        assert base.steps == steps
        assert search_spaces.name_of(f"{folder}/mine.py") == "mine"
    (tmp_path / "here.py").write_text("")
    with pytest.raises(InputError, match=r"no study 'here'; did you mean here\.py\?"):
        search_spaces.load("here")


def test_functions_of_a_studys_file_can_be_imported_with_the_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    file = write_study(tmp_path / "with_loss.py", base="dataset='digits', steps=1, loss='with_loss:scaled'",
                       scientific={"hflip": (True,)})  # fmt: skip
    with Path(file).open("a") as stream:
        stream.write(LOSS)
    search_spaces.load(file)
    assert load_function("with_loss:scaled") is sys.modules["with_loss"].scaled
    assert source_digest("helper:FACTOR")


def test_studies_load_without_heavy_libraries() -> None:
    """numpy takes 30 ms, and is loaded where a claim is about another metric than accuracy."""
    code = (
        "import sys, search_spaces\n"
        "for name in search_spaces.names(): search_spaces.load(name)\n"
        "heavy = {'torch', 'torchvision', 'ray', 'mlflow', 'scipy', 'timm', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_framework_has_what_studies_are_written_in_and_loads_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from search_spaces.framework import *\n"
        "assert {'SearchSpace', 'Best', 'BetterThan', 'Value'} <= globals().keys()\n"
        "heavy = {'torch', 'torchvision', 'ray', 'mlflow', 'scipy', 'timm', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {each.__name__ for each in get_args(Claim)} <= set(framework.__all__)


@pytest.mark.parametrize("name", search_spaces.names())
def test_a_study_imports_the_config_and_the_framework(name: str) -> None:
    """`ablation_grid` quotes another study, too; those of a paper's folder share what the folder has."""
    file = search_spaces.file_of(name)
    imported = set(re.findall(r"^from ([\w.]+) import|^import ([\w.]+)", file.read_text(), flags=re.MULTILINE))
    others = {("search_spaces.pos_embed", "")} if name == "ablation_grid" else set()
    others |= {(f"search_spaces.{file.parent.name}", "")}
    assert imported <= {("revit.config", ""), ("search_spaces.framework", ""), *others}


def test_claims_quote_the_paper() -> None:
    quotes = [claim.quote for name in search_spaces.names() for claim in search_spaces.load(name).claims]
    assert any("384 outperformed 512" in quote for quote in quotes)
