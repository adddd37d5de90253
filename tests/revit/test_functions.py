"""Functions named by their import path."""

import sys
from pathlib import Path

import pytest

from revit.errors import InputError
from revit.functions import import_folder, is_import_path, load_function, source_digest


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
    module.write_text("f = (")
    with pytest.raises(InputError, match="explodes:f cannot be imported: SyntaxError"):
        source_digest("explodes:f")
    with pytest.raises(InputError, match="there is no file of a module sys"):
        source_digest("sys:exit")


STUDY = '''"""A study.

Result:  not run yet
"""

from math import e
RATE = 0.1

@decorated
def focal(logits): return e * logits

SPACE = SearchSpace(
    scientific={"optimizer.lr": (RATE,)},
)
'''


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("not run yet", "93.04 %", True), ("(RATE,)", "(RATE, 1.0)", True), ("\n", "\r\n", True),
        ("SPACE =", "SPACE: SearchSpace =", True), ("return e", "return 2 * e", False), ("0.1", "0.2", False),
        ("@decorated", "@other", False), ("import e", "import pi as e", False),
    ],
)  # fmt: skip
def test_the_digest_is_of_all_but_the_docstring_and_the_space(
    old: str, new: str, is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "grows.py"
    module.write_text(STUDY)
    first = source_digest("grows:focal")
    module.write_bytes(STUDY.replace(old, new).encode())
    assert (source_digest("grows:focal") == first) is is_same


def test_the_folder_from_which_a_function_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pack" / "inner").mkdir(parents=True)
    for name in ("alone.py", "pack/__init__.py", "pack/inner/__init__.py", "pack/inner/deep.py"):
        (tmp_path / name).write_text("def f(): ...")
    for path in ("alone:f", "pack:f", "pack.inner:f", "pack.inner.deep:f"):
        assert import_folder(path) == tmp_path
    for name in ("pack.inner.deep", "pack.inner", "pack"):
        sys.modules.pop(name, None)
