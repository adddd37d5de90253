"""Export as a function of a plan, from its store to the folder."""

from pathlib import Path

import pytest

from benchmarks.report import write_study
from revit.errors import InputError
from study.api.exports import export_model
from study.plan import Folders
from tests.study.made_plans import space_of


def test_a_trial_of_a_plan_is_exported(folders: Folders, tmp_path: Path) -> None:
    """By text or by values; nothing is read of trials that are not named, nothing is written where it is wrong."""
    space = space_of(scientific={"schedule.name": ("cosine", "constant")})
    plan, ledger = write_study(space, space.seeds, folders)
    exported = export_model(plan, ledger, tmp_path / "one", cell="schedule=cosine", seed="0")
    assert (exported.trial, exported.model) == ("schedule=cosine seed=0", "vit_nano")
    assert exported.is_for_timm
    assert exported.card.parent == exported.folder == tmp_path / "one"
    again = export_model(plan, ledger, tmp_path / "one", cell={"schedule.name": "constant"})
    assert again.trial == "schedule=constant seed=0"
    with pytest.raises(InputError, match="seed=1: its weights were not kept; those of seed 0 were"):
        export_model(plan, ledger, tmp_path / "two", cell="schedule=cosine", seed=1)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="must be a folder, and is a file"):
        export_model(plan, ledger, tmp_path / "file")
    assert not (tmp_path / "two").exists()
