"""The image store: a dataset decoded once per machine, memory-mapped, shared by all trials on it.

    digits-1f2e3d4c5b6a7988/
        pixels.bin     every image's (H, W, C) uint8, or its encoded file, concatenated
        layout.npz     offsets (n+1,) into pixels, sizes (n, 2) as H W, labels (n,), is_test (n,)
        manifest.json  dataset, digest, class_names, channels, num_train, num_test, num_shared; skipped, decoder

An image with too many bytes of pixels is kept encoded, and decoded at every read. The folder is named by the digest
of its content. Beside it, `sources/` maps the sizes and times of a dataset's files to its store, so that a dataset
is decoded once.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from revit.datasets.building import STORE_VERSION, build_store, finish_digest
from revit.datasets.manifest import MANIFEST_VERSION, read_manifest
from revit.datasets.readers import reader_for
from revit.datasets.readers.images import decode_image, decoder
from revit.datasets.splits import Splits, split
from revit.errors import InputError
from revit.paths import check_writable


class ImageStore:
    """The images of a dataset, memory-mapped: pixels are read from disk when they are used.

    Attributes:
        manifest: counts, classes, digest.
        labels: (n,) int64.
        is_test: (n,) bool.
        sizes: (n, 2) int64, height and width in pixels.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.manifest = read_manifest(folder / "manifest.json")
            with np.load(folder / "layout.npz") as layout:
                self.labels: npt.NDArray[np.int64] = layout["labels"]
                self.is_test: npt.NDArray[np.bool_] = layout["is_test"]
                self.sizes: npt.NDArray[np.int64] = layout["sizes"]
                self._offsets: npt.NDArray[np.int64] = layout["offsets"]
            mapped = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="c")
            self._pixels: npt.NDArray[np.uint8] = np.asarray(mapped)  # slicing an np.memmap is four times as slow
            decoded = self.sizes.prod(axis=1) * self.manifest.channels
            self._is_encoded: npt.NDArray[np.bool_] = np.diff(self._offsets) < decoded
            if len(self._pixels) != self._offsets[-1]:
                raise ValueError("pixels.bin has another length than layout.npz states")
        except OSError:
            raise
        except Exception as error:  # the parsers raise errors of many types on damaged files
            raise InputError(f"{folder} is damaged: delete it, and it is built again ({error})") from error

    def __len__(self) -> int:
        return len(self.labels)

    def split(self, val_fraction: float, data_fraction: float, subset_seed: int) -> Splits:
        """Return the splits of one trial, cached per process (see `splits.split`)."""
        return _split(self.folder, val_fraction, data_fraction, subset_seed)

    def image(self, index: int) -> npt.NDArray[np.uint8]:
        """Return image `index` as (H, W, C) uint8: a private view of the mapped file, or decoded from it."""
        height, width = self.sizes[index]
        kept = self._pixels[self._offsets[index] : self._offsets[index + 1]]
        if self._is_encoded[index]:
            return decode_image(kept.tobytes(), f"{index} of {self.folder}")
        return kept.reshape(height, width, self.manifest.channels)

    def compute_digest(self) -> str:
        """Return the digest of what the files hold: `manifest.digest`, unless they were damaged. Reads every pixel."""
        content = hashlib.sha256()
        for index in range(len(self)):
            content.update(np.ascontiguousarray(self.image(index)).data)
        layout = {"sizes": self.sizes, "labels": self.labels, "is_test": self.is_test, "offsets": self._offsets}
        manifest = self.manifest
        return finish_digest(content, layout, manifest.channels, manifest.class_names, len(manifest.skipped))

    @property
    def has_own_decoder(self) -> bool:
        """True if no image is kept encoded, or this machine decodes as the one that built the store."""
        return self.manifest.decoder in ("", decoder())


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


def open_store(dataset: str, *, data_dir: Path, cache_dir: Path, skip_broken: bool = False) -> ImageStore:
    """Open the store of a dataset; build it first unless this machine has one of the same files.

    Args:
        dataset: a registered name or `folder:PATH`.
        cache_dir: the directory of stores, on a local disk.
        skip_broken: leave out images that cannot be decoded; the manifest lists them.

    Raises:
        MissingInputError: the dataset is not on this machine.
        BrokenImagesError: images cannot be decoded, and `skip_broken` is False.
        InputError: a file cannot be read or written.
    """
    try:
        reader = reader_for(dataset)
        files = reader.find(data_dir)
        check_writable(cache_dir, "cache")
        pointer = _pointer_file(dataset, files, cache_dir)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(pointer.with_suffix(".lock")):
            folder = cache_dir / pointer.read_text(errors="replace") if pointer.exists() else None
            store = ImageStore(folder) if folder is not None and (folder / "manifest.json").exists() else None
            if store is None or not _is_current(store, skip_broken):
                store = ImageStore(build_store(dataset, reader.read(files), cache_dir, skip_broken=skip_broken))
                pointer.write_text(store.folder.name)
    except OSError as error:
        raise InputError(f"dataset {dataset} cannot be decoded into {cache_dir}: {error}") from error
    return store


def _pointer_file(dataset: str, files: list[Path], cache_dir: Path) -> Path:
    """Return the file that names the store of these files, by their sizes and times."""
    digest = hashlib.sha256(os.fsencode(f"{STORE_VERSION} {MANIFEST_VERSION} {dataset}"))
    for path in files:
        status = path.stat() if path.exists() else path.lstat()  # a dangling link: a broken image
        digest.update(os.fsencode(f"\0{path} {status.st_size} {status.st_mtime_ns}"))
    return cache_dir / "sources" / f"{digest.hexdigest()[:32]}.txt"


def _is_current(store: ImageStore, skip_broken: bool) -> bool:
    """Return whether rebuilding a store would give the same one."""
    return store.has_own_decoder and (skip_broken or not store.manifest.skipped)
