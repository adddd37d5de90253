"""The image store: a dataset decoded once per machine, memory-mapped, shared by all trials on it.

    digits-1f2e3d4c5b6a7988/
        pixels.bin     every image's (H, W, C) uint8, one after the other
        layout.npz     offsets (n+1,) into pixels, sizes (n, 2) as H W, labels (n,), is_test (n,)
        manifest.json  dataset, digest, class_names, channels, num_train, num_test, num_shared

The folder is named by the digest of its content. Beside it, `sources/` remembers which files on disk
decoded to which store, by their sizes and times, so that a second look costs no decoding.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from revit.datasets.readers import reader_for
from revit.datasets.readers.base import Reader, Sample
from revit.datasets.registry import DATASETS
from revit.datasets.subsets import Splits, split, test_part
from revit.errors import InputError
from revit.folders import check_writable

STORE_VERSION = 1
"""Part of every digest, and so of every trial's identity: it changes with what a store's pixels mean."""

MANIFEST_VERSION = 2
"""Of what manifest.json tells beside the digest: a store with an older one is decoded again, and is found equal."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store says of itself.

    Attributes:
        digest: covers pixels, sizes, labels, splits and class names.
        num_shared: test images whose very pixels are also those of a training image.
    """

    dataset: str
    digest: str
    class_names: tuple[str, ...]
    channels: int
    num_train: int
    num_test: int
    num_shared: int


def remarks(manifest: Manifest) -> list[str]:
    """What a reader of results should know of a store: a line each; none where all is as it should be.

    These are where its counts are not the registry's, and test images that are training images too.
    """
    told = []
    spec = DATASETS.get(manifest.dataset)
    if spec is not None:
        counts = (
            ("training images", manifest.num_train, spec.num_train),
            ("test images", manifest.num_test, spec.num_test),
            ("classes", len(manifest.class_names), spec.num_classes),
        )
        told = [
            f"dataset {spec.name} has {here:,} {what} here; the registry says {stated:,}"
            for what, here, stated in counts
            if here != stated
        ]
    if manifest.num_shared:
        told.append(
            f"dataset {manifest.dataset}: {manifest.num_shared:,} of its {manifest.num_test:,} test images "
            "are training images too, pixel by pixel"
        )
    return told


class ImageStore:
    """A dataset's decoded images, open for reading. Cheap to open: pixels stay on disk until touched.

    Attributes:
        manifest: counts, classes, digest.
        labels: (n,) int64.
        is_test: (n,) bool.
        sizes: (n, 2) int64, height and width in pixels.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            record = json.loads((folder / "manifest.json").read_text())
            self.manifest = Manifest(**{**record, "class_names": tuple(record["class_names"])})
            with np.load(folder / "layout.npz") as layout:
                self.labels: npt.NDArray[np.int64] = layout["labels"]
                self.is_test: npt.NDArray[np.bool_] = layout["is_test"]
                self.sizes: npt.NDArray[np.int64] = layout["sizes"]
                self._offsets: npt.NDArray[np.int64] = layout["offsets"]
            mapped = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="c")
            self._pixels: npt.NDArray[np.uint8] = np.asarray(mapped)  # numpy cuts its memmaps four times as slowly
            if len(self._pixels) != self._offsets[-1]:
                raise ValueError("pixels.bin is not as long as it was")
        except OSError:
            raise
        except Exception as error:  # what parsers of JSON and zip make of torn files is anything
            raise InputError(f"{folder} is damaged: delete it, and it is made anew ({error})") from error

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, val_fraction: float, data_fraction: float, subset_seed: int) -> Splits:
        """The images of one trial (see subsets.split); computed once a process for all trials alike."""
        return _split(self.folder, val_fraction, data_fraction, subset_seed)

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """Image `index` as (H, W, C) uint8: a view of the mapped file. Private pages: the file never changes."""
        height, width = self.sizes[index]
        flat = self._pixels[self._offsets[index] : self._offsets[index + 1]]
        return flat.reshape(height, width, self.manifest.channels)


@lru_cache(maxsize=64)
def _split(folder: Path, val_fraction: float, data_fraction: float, subset_seed: int) -> Splits:
    store = ImageStore(folder)
    return split(
        store.labels,
        store.is_test,
        val_fraction=val_fraction,
        data_fraction=data_fraction,
        subset_seed=subset_seed,
    )


def open_store(dataset: str, *, data_dir: Path, cache_dir: Path) -> ImageStore:
    """The store of a dataset, built first where this machine has none of these very files.

    Args:
        dataset: a registered name or `folder:PATH`.
        data_dir: where downloaded datasets lie.
        cache_dir: where stores are kept, on a disk local to the machine.

    Raises:
        InputError: the dataset is not there, an image cannot be decoded, or a disk does not let one read or write.
    """
    try:
        return _open_or_build(dataset, data_dir, cache_dir)
    except OSError as error:
        raise InputError(f"dataset {dataset} cannot be decoded into {cache_dir}: {error}") from error


def _open_or_build(dataset: str, data_dir: Path, cache_dir: Path) -> ImageStore:
    reader = reader_for(dataset)
    files = reader.find(data_dir)
    check_writable(cache_dir, "--cache-dir")
    known = cache_dir / "sources" / f"{_fingerprint(dataset, files)}.txt"
    known.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(known.with_suffix(".lock")):
        if known.exists():
            folder = cache_dir / known.read_text(errors="replace")
            if (folder / "manifest.json").exists():
                return ImageStore(folder)
        folder = _build(dataset, reader, files, cache_dir)
        known.write_text(folder.name)
    return ImageStore(folder)


def _fingerprint(dataset: str, files: list[Path]) -> str:
    seen = hashlib.sha256(os.fsencode(f"{STORE_VERSION} {MANIFEST_VERSION} {dataset}"))
    for path in files:
        status = path.stat()
        seen.update(os.fsencode(f"\0{path} {status.st_size} {status.st_mtime_ns}"))
    return seen.hexdigest()[:32]


def _build(dataset: str, reader: Reader, files: list[Path], cache_dir: Path) -> Path:
    """Decode everything into a temporary folder, then rename it to its digest's name."""
    class_names, samples = reader.read(files)
    partial = Path(tempfile.mkdtemp(prefix="building-", dir=cache_dir))
    try:
        manifest = _write(partial, dataset, class_names, samples)
        label = dataset if dataset.isidentifier() else "folder"
        folder = cache_dir / f"{label}-{manifest.digest[:16]}"
        if folder.exists():  # the same content, from other files or from an older version of this module
            (partial / "manifest.json").replace(folder / "manifest.json")
            return folder
        partial.rename(folder)
        return folder
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, dataset: str, class_names: list[str], samples: Iterator[Sample]) -> Manifest:
    content = hashlib.sha256()
    sizes: list[tuple[int, int]] = []
    labels: list[int] = []
    splits: list[str] = []
    seen: list[bytes] = []
    channels = 0
    with (folder / "pixels.bin").open("wb") as pixels:
        for image, label, part in samples:
            _check_sample(dataset, len(sizes), image, label, len(class_names), channels)
            height, width, channels = image.shape
            data = np.ascontiguousarray(image).tobytes()
            pixels.write(data)
            content.update(data)
            sizes.append((height, width))
            labels.append(label)
            splits.append(part)
            seen.append(hashlib.sha256(f"{height} {width} ".encode() + data).digest())
    if not sizes:
        raise InputError(f"dataset {dataset} has no images")
    layout = _layout(np.array(sizes, np.int64), np.array(labels, np.int64), np.array(splits), channels)
    for name in sorted(layout):
        content.update(name.encode() + np.ascontiguousarray(layout[name]).tobytes())
    content.update(json.dumps([STORE_VERSION, channels, class_names]).encode())
    num_test = int(layout["is_test"].sum())
    manifest = Manifest(
        dataset=dataset,
        digest=content.hexdigest(),
        class_names=tuple(class_names),
        channels=channels,
        num_train=len(labels) - num_test,
        num_test=num_test,
        num_shared=_num_shared(seen, layout["is_test"]),
    )
    if manifest.num_train == 0 or num_test == 0:
        raise InputError(f"dataset {dataset} has {manifest.num_train} training and {num_test} test images")
    np.savez(folder / "layout.npz", allow_pickle=False, **layout)
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest), indent=1))
    return manifest


def _check_sample(
    dataset: str, number: int, image: npt.NDArray[np.uint8], label: int, num_classes: int, channels: int
) -> None:
    """Raise InputError where an image could not be trained on, whatever reader it comes from.

    Args:
        number: of the image, counted from 0.
        channels: of the images before it, 0 where it is the first.
    """
    if not 0 <= label < num_classes:
        raise InputError(f"dataset {dataset}: image {number} is of class {label}; there are 0 to {num_classes - 1}")
    usable = image.ndim == 3 and min(image.shape) > 0 and image.shape[2] in ({1, 3} if channels == 0 else {channels})
    if not usable:
        right = "height, width, and 1 or 3 channels, as many in all images"
        raise InputError(f"dataset {dataset}: image {number} has the shape {image.shape}; must be {right}")


def _num_shared(seen: list[bytes], is_test: npt.NDArray[np.generic]) -> int:
    """Test images that equal a training image, given a digest of each image's size and pixels."""
    in_train = {digest for digest, test in zip(seen, is_test, strict=True) if not test}
    return sum(digest in in_train for digest, test in zip(seen, is_test, strict=True) if test)


def _layout(
    sizes: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], splits: npt.NDArray[np.str_], channels: int
) -> dict[str, npt.NDArray[np.generic]]:
    is_test = splits == "test"
    unsplit = np.flatnonzero(splits == "unsplit")
    if len(unsplit):
        is_test[unsplit[test_part(labels[unsplit])]] = True
    offsets = np.concatenate([[0], np.cumsum(sizes.prod(axis=1) * channels)]).astype(np.int64)
    return {"sizes": sizes, "labels": labels, "is_test": is_test, "offsets": offsets}
