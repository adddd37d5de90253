"""The page of datasets."""

from revit.datasets.page import COLUMNS, datasets_page
from revit.datasets.registry import DATASETS


def test_every_dataset_is_a_row_with_a_value_per_column() -> None:
    rows = [line.strip("| ").split(" | ") for line in datasets_page().splitlines() if line.startswith("| `")]
    corrupted = [f"cifar{classes}_c-CORRUPTION-SEVERITY" for classes in (10, 100)]
    assert [row[0] for row in rows] == [f"`{name}`" for name in (*DATASETS, "cifar10.1", "stl10", *corrupted)]
    assert all(len(row) in (len(COLUMNS), len(COLUMNS) - 1) for row in rows), "a caveat may be empty"
    assert rows[0][2:5] == ["10", "1,438", "359"]
