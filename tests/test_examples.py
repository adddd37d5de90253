"""The notebook in `examples/` runs from its first cell to its last."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "examples" / "analysis.ipynb"
PLOTLY = "application/vnd.plotly.v1+json"


def test_the_notebook_plans_runs_reads_and_reports_its_study(
    one_cpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of its own, which then has the store and the report."""
    monkeypatch.setenv("HOME", str(tmp_path))  # of the cache, and of settings of IPython
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert shown(notebook, "space").count("'new'") == 8
    assert "8 trials, 0 done, 8 to run" in "".join(map(str, output(notebook, "run")))
    assert shown(notebook, "results").count("finished") == 8
    heads = [line.split()[0] for line in shown(notebook, "pivot").splitlines()]
    assert heads == ["schedule.name", "optimizer", "adam", "sgd"]
    assert "Adam has higher accuracy than SGD" in shown(notebook, "verdicts")
    [figure] = [each["data"] for each in output(notebook, "figure") if PLOTLY in each["data"]]
    assert figure[PLOTLY]["data"]
    page = tmp_path / "reports" / "notebook" / "report.html"
    assert str(page) in shown(notebook, "report")
    assert page.exists()
    assert (tmp_path / "mlruns" / "mlflow.db").exists()


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count] == []


def output(notebook: Any, cell: str) -> list[Any]:
    """Return the outputs of a cell, by its id."""
    [found] = [each for each in notebook.cells if each.id == cell]
    return list(found.outputs)


def shown(notebook: Any, cell: str) -> str:
    """Return the value of a cell's last line, as text."""
    [text] = [each["data"]["text/plain"] for each in output(notebook, cell) if each.output_type == "execute_result"]
    return str(text)
