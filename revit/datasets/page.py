"""Write docs/datasets.md from the registry.

python -m revit.datasets.page > docs/datasets.md
"""

from revit.datasets.registry import DATASETS, DatasetSpec

COLUMNS = ("dataset", "what", "classes", "training images", "test images", "source", "license", "caveat")
HEADER = """# Datasets

Made by `python -m revit.datasets.page > docs/datasets.md` from the [registry](../revit/datasets/registry.py).

The last column says what a reader of results should know. `plan` and `report` show it for the datasets of a study.
"""


def datasets_page() -> str:
    """Return the page, in Markdown."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *map(_row, DATASETS.values())]
    return HEADER + "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(spec: DatasetSpec) -> tuple[str, ...]:
    counts = (f"{count:,}" for count in (spec.num_classes, spec.num_train, spec.num_test))
    return f"`{spec.name}`", spec.title, *counts, spec.source, spec.license, spec.caveat


if __name__ == "__main__":
    print(datasets_page())
