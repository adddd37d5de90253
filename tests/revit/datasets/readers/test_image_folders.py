"""Image folders, against torchvision's ImageFolder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision
from hypothesis import strategies as st

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers import reader_for
from revit.errors import InputError
from tests.revit.datasets.sample_files import image_file, write_image


def opened(dataset: str | Path, tmp_path: Path, data_dir: Path | None = None) -> ImageStore:
    name = dataset if isinstance(dataset, str) else f"folder:{dataset}"
    return open_store(name, data_dir=data_dir or tmp_path / "data", cache_dir=tmp_path / "cache")


def test_an_image_folder_is_what_torchvision_reads(folder: Path, tmp_path: Path) -> None:
    store = opened(folder, tmp_path)
    for split, is_test in (("train", False), ("test", True)):
        oracle = torchvision.datasets.ImageFolder(folder / split)
        assert tuple(oracle.classes) == store.manifest.class_names
        ours = np.flatnonzero(store.is_test == is_test)
        assert len(ours) == len(oracle)
        for index, (image, label) in zip(ours, oracle, strict=True):
            assert (store.image(index) == np.asarray(image)).all()
            assert store.labels[index] == label


def test_nested_folders_belong_to_their_class(folder: Path, tmp_path: Path) -> None:
    write_image(folder / "train" / "cat" / "deep" / "er" / "1.png", "RGB", (8, 8), 1)
    store = opened(folder, tmp_path)
    assert store.manifest.num_train == len(torchvision.datasets.ImageFolder(folder / "train")) == 13


def test_train_and_test_must_have_the_same_classes(folder: Path, tmp_path: Path) -> None:
    write_image(folder / "test" / "mouse" / "1.png", "RGB", (8, 8), 1)
    with pytest.raises(InputError, match="different classes; only one has mouse"):
        opened(folder, tmp_path)


def test_hidden_files_are_ignored_and_links_followed(tmp_path: Path) -> None:
    root = tmp_path / "some"
    for name in ("cat/0.png", "cat/1.png", "dog/0.png"):
        write_image(root / name, "RGB", (8, 8), 0)
    files = reader_for(f"folder:{root}").find(tmp_path)
    write_image(root / ".ipynb_checkpoints/0.png", "RGB", (8, 8), 0)
    write_image(root / "cat/.ipynb_checkpoints/0.png", "RGB", (8, 8), 0)
    (root / "cat/._0.png").write_bytes(b"of a Mac")
    assert reader_for(f"folder:{root}").find(tmp_path) == files
    write_image(tmp_path / "elsewhere/1/2.png", "RGB", (8, 8), 0)
    write_image(tmp_path / "mouse/3.png", "RGB", (8, 8), 0)
    (root / "cat/more").symlink_to(tmp_path / "elsewhere")
    (root / "cat/again.png").symlink_to(tmp_path / "elsewhere/1/2.png")
    (root / "mouse").symlink_to(tmp_path / "mouse")
    found = set(reader_for(f"folder:{root}").find(tmp_path))
    assert found - set(files) == {root / "cat/more/1/2.png", root / "cat/again.png", root / "mouse/3.png"}
    (tmp_path / "elsewhere/1/round").symlink_to(root / "cat")
    with pytest.raises(InputError, match="cat/more/1/round is a link to a folder that holds it: remove the link"):
        reader_for(f"folder:{root}").find(tmp_path)


PARTS = st.sampled_from(["train", "test", "cat", "a\nb", "\udcff", "é", "x.jpg", ".png", " ", "[", "*", "b" * 200])


@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_folders_with_random_names_are_read_or_refused(
    fuzz: Callable[..., None], read: Callable[..., ImageStore | None]
) -> None:
    picture = image_file("png", 4)
    paths = st.lists(PARTS, min_size=1, max_size=3).map("/".join)

    def check(names: list[str], suffix: str) -> None:
        files = {f"{name}/{number}{suffix}": picture for number, name in enumerate(names)}
        read("folder:DATA", files)

    fuzz(25, check, st.lists(paths, max_size=5), st.sampled_from([".png", ".PNG", ".txt"]))


def test_a_test_folder_alone_is_a_test_set(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(3):
            write_image(tmp_path / "mine" / "test" / name / f"{number}.png", "RGB", (9, 9), number)
    (tmp_path / "mine" / ".DS_Store").touch()
    store = opened(tmp_path / "mine", tmp_path)
    assert (store.is_test.sum(), store.manifest.class_names) == (6, ("cat", "dog"))
    with pytest.raises(InputError, match="it has test images only, and can be named in test_sets alone"):
        store.split(0.0, 1.0, 0)
    write_image(tmp_path / "mine" / "valid" / "cat" / "0.png", "RGB", (9, 9), 0)
    assert opened(tmp_path / "mine", tmp_path).manifest.class_names == ("test", "valid"), "class folders, to be split"
