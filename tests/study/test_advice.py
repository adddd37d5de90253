"""Errors of `revit` name no command and no option; the advice does."""

from pathlib import Path

import pytest

from revit.config import ModelConfig
from revit.datasets.image_store import open_store
from revit.errors import BrokenImagesError, InputError, MissingInputError, UnknownFieldError
from revit.models.weights import WEIGHTS_DIR_VARIABLE, find_weights
from revit.paths import check_writable
from search_spaces import UnknownStudyError
from search_spaces.framework.space import NoRecipeError
from study.advice import FOLDER_OPTIONS, MissingStoreError, with_advice


@pytest.mark.parametrize(("role", "option"), FOLDER_OPTIONS.items())
def test_an_unwritable_folder_names_the_option_for_another(tmp_path: Path, role: str, option: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as raised:
        check_writable(tmp_path / "file", role)
    assert (
        with_advice(raised.value)
        == f"{tmp_path}/file cannot be written: File exists; name another folder with {option}"
    )


def test_missing_weights_name_fetch_and_the_option_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    with pytest.raises(MissingInputError) as raised:
        find_weights(ModelConfig(name="vit_tiny_patch16_224"))
    assert "run_study" not in str(raised.value)
    advice = with_advice(raised.value).removeprefix(str(raised.value))
    assert "`run_study.py fetch`, or name a folder of weights with --weights-dir, or set model.pretrained" in advice


def test_a_missing_dataset_names_fetch_unless_a_login_is_needed(tmp_path: Path) -> None:
    def advice(dataset: str) -> str:
        with pytest.raises(MissingInputError) as raised:
            open_store(dataset, data_dir=tmp_path, cache_dir=tmp_path)
        return with_advice(raised.value)

    assert advice("cifar10").endswith("; get it with `run_study.py fetch`")
    assert advice("brain_tumor_mri").endswith("brain-tumor-mri-dataset (after a login)")


def test_an_advised_command_has_the_names_of_the_one_that_met_the_error() -> None:
    def command(name: str, **values: object) -> str:
        return f"{name} {values}"

    assert with_advice(UnknownFieldError("x"), command) == "x; see `axes {}`"
    assert with_advice(UnknownStudyError("x", closest=None), command) == "x; see `list {}`"
    close = with_advice(UnknownStudyError("x", closest="a"), command, "plan")
    assert close == "x; try `plan {'study': 'a', 'studies': ['a']}`"
    assert "`run {}`" in with_advice(MissingStoreError("x"), command, "ui")
    assert "`plan {'scale': None, 'recipe': None}`" in with_advice(NoRecipeError("x"), command, "plan")


def test_broken_images_can_be_skipped_and_other_errors_stay_as_they_are() -> None:
    assert with_advice(BrokenImagesError("2 broken images")) == "2 broken images; leave them out with --skip-broken"
    assert with_advice(InputError("steps = 0")) == "steps = 0"
