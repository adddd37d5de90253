"""The command that exports a model, from its words to the folder."""

import json
from pathlib import Path

import pytest

import search_spaces
from benchmarks.report import write_study
from revit.errors import InputError
from study import api
from study.export import onnx_file
from study.plan import Folders
from tests.command_line import call_here
from tests.study.cli.test_comparing import MODULE


def test_a_model_is_exported_and_what_is_wrong_is_one_line(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compared.py").write_text(MODULE)
    space = search_spaces.load("compared.py")
    write_study(space, space.seeds, Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir))
    where = ("--store", "mlruns", "--cache-dir", str(cache_dir))
    call = ("export", "compared.py", *where, "--to", "out")
    done = call_here(*call, "--cell", "schedule=cosine", "--register", "mine")
    assert done.returncode == 0, done.stderr
    assert "registered as version 1 of mine: models:/mine/1" in done.stdout
    assert Path("out/model.pt2").is_file()
    assert f"exported schedule=cosine seed=0 to {tmp_path / 'out'}" in done.stdout
    assert f"how to load it: {tmp_path / 'out' / 'README.md'}" in done.stdout
    assert json.loads(Path("out/export.json").read_text())["study"] == "compared"
    for words, message in (
        ((), "--cell must name one cell of compared, and 2 are meant: add schedule.name=cosine or constant"),
        (("--cell", "schedule=cosine", "--seed", "x"), "--seed = x: must be a number, or best"),
        (("--cell", "schedule=cosine", "--seeds", "2", "--seed", "1"), "run_study.py run compared.py --seeds 2"),
        (("--cell", "schedule=cosine", "--register", "a/b"), "--register = 'a/b': MLflow does not take this name: "),
        (("--cell", "schedule=cosine", "--to", "."), "must be a new folder, or an earlier export"),
    ):
        refused = call_here(*call, *words)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert refused.stderr.count("\n") == 1
    several = call_here("export", "all", *where, "--to", "out")
    assert "export: all is several studies: name one" in several.stderr
    options = api.Options(store="mlruns", cache_dir=cache_dir)
    cell = {"schedule.name": "constant"}
    exported = api.export("compared.py", "mine", cell=cell, register="mine", **options)
    assert (exported.folder, exported.lacking) == (tmp_path / "mine", [])
    assert exported.registered == "registered as version 2 of mine: models:/mine/2"
    monkeypatch.setattr(onnx_file, "PACKAGES", ("no_such_package",))
    with pytest.raises(InputError, match=r"^--onnx: no_such_package not installed"):
        api.export("compared.py", "mine", cell=cell, onnx=True, **options)
