"""Functions named by their import path."""

from pathlib import Path

import pytest

from revit.errors import InputError
from revit.functions import is_import_path, load_function, source_digest


def test_the_form_of_an_import_path() -> None:
    assert is_import_path("package.module:function") and is_import_path("module:f")
    assert not any(map(is_import_path, ("module", "module.f", "a:b:c", "hf-hub:timm/vit", ":f", "a:", "a b:c")))


def test_a_function_is_imported_by_its_path() -> None:
    assert load_function("revit.functions:source_digest") is source_digest


@pytest.mark.parametrize(
    ("path", "reason"),
    [("no_such_module:f", "cannot be imported"), ("revit.functions:no_such", "cannot be imported"),
     ("revit.identity:TRAINING_VERSION", "is not a function")],
)  # fmt: skip
def test_a_wrong_path_gives_one_line(path: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        load_function(path)
    assert "\n" not in str(error.value)


def test_the_digest_is_of_the_modules_source_which_is_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "explodes.py"
    module.write_text("raise RuntimeError\n")
    first = source_digest("explodes:f")
    module.write_text("raise ValueError\n")
    assert source_digest("explodes:f") != first
    with pytest.raises(InputError, match="there is no file of a module sys"):
        source_digest("sys:exit")
