"""Write docs/datasets.md from the registry.

python -m revit.datasets.page > docs/datasets.md
"""

from collections.abc import Iterable

from revit.datasets.dataset_spec import DatasetSpec
from revit.datasets.registry import CORRUPTIONS, DATASETS, TEST_SETS

COLUMNS = ("dataset", "what", "classes", "training images", "test images", "source", "license", "caveat")
HEADER = """# Datasets

Made by `python -m revit.datasets.page > docs/datasets.md` from the [registry](../revit/datasets/registry.py).

The last column says what a reader of results should know. `plan` and `report` show it for the datasets of a study.
"""


BY_HAND_TEXT = """
## Downloaded by hand

`fetch` shows the page of each. In the folder of `--data-dir`, they are unpacked as:

- `cars`: `stanford_cars/` as torchvision's `StanfordCars` reads it, with `cars_train/*.jpg`, `cars_test/*.jpg`,
  `devkit/cars_meta.mat`, `devkit/cars_train_annos.mat` and `cars_test_annos_withlabels.mat`
- `inat18`: `inat18/` with `train2018.json`, `val2018.json` and `train_val2018/GROUP/SPECIES/*.jpg`
- `inat19`: `inat19/` with `train2019.json`, `val2019.json` and `train_val2019/GROUP/SPECIES/*.jpg`
- `brain_tumor_mri`: `brain_tumor_mri/` with `Training/CLASS/*.jpg` and `Testing/CLASS/*.jpg`

The first command that needs a dataset decodes every image once per machine, into the folder of `--cache-dir`. The
photographs of iNaturalist stay in their file format there: as pixels, the 461,939 of 2018 would take some 650 GB. On
one core of an AMD EPYC, a photograph of 800x600 px took 8 ms then, which makes an hour for all of them; in training,
each read took 6 ms. One that is replaced under its old name is not noticed: delete its store.
"""

TEST_SETS_TEXT = """
## Test sets

A trained model can be tested on further images of the same classes, without training again (distribution shift):

    base=FineTuneConfig(dataset="cifar10", test_sets=("cifar10.1", "cifar10_c-fog-3"), ...)
    metrics=("accuracy@cifar10.1", "accuracy_change@cifar10.1", "calibration_error@cifar10.1")

- Every dataset above can be a test set of another with the same classes in the same order; its own test images are
  used. `folder:PATH` with `test/CLASS/*` alone is a test set of your own. A set with other classes is refused.
- `accuracy@NAME` is a metric like any other: in `metric=`, `metrics=`, claims, `report --metric`. It is
  `NAME/test_accuracy` in MLflow. `accuracy_change@NAME` is it minus the accuracy on the own test split, seed by seed.
- The sets below have no training images. All are downloaded by `fetch`, which checks each file's digest.
"""


def datasets_page() -> str:
    """Return the page, in Markdown."""
    corrupted = [_corrupted_row(TEST_SETS[f"cifar{each}_c-{CORRUPTIONS[0]}-1"]) for each in (10, 100)]
    new_images = [spec for spec in TEST_SETS.values() if not spec.original]
    tables = [_table(map(_row, DATASETS.values())), _table([*map(_row, new_images), *corrupted])]
    return f"{HEADER}\n{tables[0]}\n{BY_HAND_TEXT}{TEST_SETS_TEXT}\n{tables[1]}"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (COLUMNS, tuple("---" for _ in COLUMNS), *rows))


def _corrupted_row(spec: DatasetSpec) -> tuple[str, ...]:
    """Return the row of all corruptions and severities of a dataset, given one of them."""
    prefix = spec.name.partition("-")[0]
    what = f"{spec.title.partition(',')[0]}, corrupted; severity 1 to 5; CORRUPTION is {', '.join(CORRUPTIONS)}"
    return f"`{prefix}-CORRUPTION-SEVERITY`", what, *_row(spec)[2:]


def _row(spec: DatasetSpec) -> tuple[str, ...]:
    counts = (f"{count:,}" for count in (spec.num_classes, spec.num_train, spec.num_test))
    return f"`{spec.name}`", spec.title, *counts, spec.source, spec.license, spec.caveat


if __name__ == "__main__":
    print(datasets_page())
