"""The README is true."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import search_spaces
from revit.datasets.registry import caveats
from study.analysis.effects import study_effects
from study.cli.main import COMMANDS
from study.report.answer import make_answer, to_lines
from tests.study.report.small_study import finish

ROOT = Path(__file__).parent.parent
QUICKSTART_CORRECT = (335, 304, 321, 330, 338, 307, 325, 324, 329, 310, 321, 323)
"""Correct ones of 359 images, seed by seed: sgd with both schedules, adam with both. Which ones, the README lacks."""
README = (ROOT / "README.md").read_text()


def test_its_search_space_becomes_a_study_by_being_saved(tmp_path: Path) -> None:
    [module] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(module.splitlines()) <= 20
    (tmp_path / "pretraining_saves.py").write_text(module)
    space = search_spaces.load(str(tmp_path / "pretraining_saves.py"))
    assert len(space.candidates(space.seeds)) == 18


def test_the_files_it_points_to_are_there() -> None:
    for target in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_table_it_shows_is_the_quickstarts() -> None:
    """Each cell of the quickstart has its row, with as many seeds as the study has."""
    space = search_spaces.load("quickstart")
    for candidate in space.candidates(space.seeds[:1]):
        cell = r" *│ ".join(re.escape(str(value)) for value in candidate.cell.values())
        assert re.search(rf"│ {cell} +│ \d\d\.\d\d │ .* │ +{len(space.seeds)} │", README), candidate.cell


def test_the_sample_ends_with_the_answer_of_its_numbers() -> None:
    """Its effects are the differences of its table, in the sentences that the report makes of such numbers."""
    means = [float(mean) for mean in re.findall(r"│ (?:sgd|adam) +│ \w+ +│ (\d\d\.\d\d) │", README)]
    sgd_cosine, sgd_constant, adam_cosine, adam_constant = means
    schedule = (sgd_cosine - sgd_constant + adam_cosine - adam_constant) / 2
    optimizer = (adam_cosine + adam_constant - sgd_cosine - sgd_constant) / 2
    interaction = sgd_cosine - sgd_constant - adam_cosine + adam_constant
    expected = [schedule, sgd_cosine - sgd_constant, schedule, optimizer, interaction]
    shown = re.findall(r"(?:is|gains) (\d+\.\d\d) pp (?:better|more)", README)
    assert [float(effect) for effect in shown] == pytest.approx(expected, abs=0.011)
    space = search_spaces.load("quickstart")
    plan = finish(space, space.seeds, [count / 359 for count in QUICKSTART_CORRECT])
    plan = replace(plan, trials=[replace(trial, num_test=359) for trial in plan.trials])
    correct = {trial.record.run_id: np.arange(359) < 330 for trial in plan.trials}
    answer = make_answer(plan, study_effects(plan, {}, lambda *_: correct))
    table = [f"{100 * np.mean(QUICKSTART_CORRECT[cell::4]) / 359:.2f}" for cell in range(4)]
    assert table == [f"{mean:.2f}" for mean in means]
    assert all(without_numbers(line) in without_numbers(README) for line in to_lines(answer))


def without_numbers(text: str) -> str:
    decided = (
        r"; about \d+ seeds (per cell )?would decide it|; more than 100 seeds per cell would be needed to decide it"
    )
    return re.sub(r"-?\d[\d.]*", "", re.sub(decided, "", text))


def test_it_shows_what_is_not_settled_about_the_digits() -> None:
    assert caveats(["digits"])[0] in README


def test_the_commands_it_names_exist() -> None:
    assert set(re.findall(r"run_study\.py (\w+)", README)) <= COMMANDS.keys()


def test_its_commands_work_as_typed_once_the_environment_is_active() -> None:
    activate = README.index("\nsource .venv/bin/activate ")
    assert README.index("\nmake study ") < activate < README.index("\npython run_study.py ")
    typed = f"source {sys.prefix}/bin/activate && python run_study.py list"
    env = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", typed], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "quickstart" in done.stdout


def test_a_command_typed_without_the_environment_says_how_to_activate_it() -> None:
    without_packages = [sys.executable, "-S", "run_study.py", "list"]
    done = subprocess.run(without_packages, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {sys.executable} has no typer: `make study`, then `source .venv/bin/activate`\n"


def test_a_python_that_is_too_old_is_one_line_before_anything_is_installed(tmp_path: Path) -> None:
    old = tmp_path / "python3.10"
    as_old = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[2])"
    old.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{as_old}' \"$@\"\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    make = ["make", "study", f"PYTHON={old}"]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    error, _ = done.stderr.splitlines()  # make adds its own
    assert error == f"error: {old} is Python 3.10; must be 3.11 or newer: make PYTHON=python3.11"
    assert not (tmp_path / ".venv").exists()


def test_an_installation_says_what_it_will_take_before_it_is_silent() -> None:
    make = ["make", "--dry-run", "--always-make", "study"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    said, installed = printed.index("some minutes, up to 7 GB of disk"), printed.index("pip install --quiet")
    assert said < installed
    assert "up to 7 GB of disk" in README


def test_its_commands_train_seeds_enough_for_a_verdict() -> None:
    """One seed leaves claims inconclusive, and two hardly show how much seeds vary."""
    counts = [int(count) for count in re.findall(r"--seeds (\d+)", README)]
    assert all(count >= 3 for count in counts)
    studies = [search_spaces.load(name) for name in search_spaces.names()]
    assert all(len(space.seeds) >= 3 for space in studies)
