"""Fixtures of dataset tests: a folder of images, a reader under limited memory."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from revit.datasets.image_store import ImageStore, open_store
from revit.errors import InputError
from tests.revit.datasets.sample_files import cifar_contents, flowers_contents, publish, write_image

MAX_ALLOCATED_BYTES = 1 << 30
"""Maximum memory that a reader may allocate for a damaged file."""


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let allocations beyond MAX_ALLOCATED_BYTES fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_ALLOCATED_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ImageStore | None]:
    """Open a dataset of the given files; return its store, with every image checked, or None if it is refused."""
    monkeypatch.setattr("revit.datasets.readers.fashion_mnist.DEBIAN_FASHION_MNIST", tmp_path / "nowhere")
    publish(monkeypatch, "cifar10", cifar_contents())
    publish(monkeypatch, "flowers102", flowers_contents())

    def run(dataset: str, contents: dict[str, bytes]) -> ImageStore | None:
        box = tmp_path / "box"
        data = box / "in" / "data"
        shutil.rmtree(box, ignore_errors=True)
        for name, content in contents.items():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(content)
        before = everything_in(box)
        try:
            with limited_memory():
                store = open_store(dataset.replace("DATA", str(data)), data_dir=data, cache_dir=tmp_path / "cache")
        except InputError as error:
            assert str(error).isprintable()
            store = None
        else:
            num_classes = len(store.manifest.class_names)
            assert all(0 <= label < num_classes for label in store.labels)
            assert all(min(store.image(index).shape) > 0 for index in range(len(store)))
        assert everything_in(box) == before, "reading writes nothing"
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return store

    return run


def everything_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ImageFolder of two classes with train/ and test/, in odd sizes and every mode."""
    root = tmp_path / "animals"
    for split, count in (("train", 6), ("test", 3)):
        for name in ("cat", "dog"):
            for number in range(count):
                mode = ("RGB", "L", "RGBA", "P")[number % 4]
                suffix = "jpg" if mode in ("RGB", "L") else "png"
                write_image(root / split / name / f"{number}.{suffix}", mode, (11 + number, 7 + number), number)
    return root
