"""The image store: a dataset decoded once per machine, memory-mapped, shared by all trials on it.

    digits-1f2e3d4c5b6a7988/
        pixels.bin     every image's (H, W, C) uint8, or fewer bytes of its file, one after the other
        layout.npz     offsets (n+1,) into pixels, sizes (n, 2) as H W, labels (n,), is_test (n,)
        manifest.json  dataset, digest, class_names, channels, num_train, num_test, num_shared; skipped, decoder

An image whose pixels would take too many bytes stays as its file has it, and is decoded whenever it is read. The
folder is named by the digest of its content. Beside it, `sources/` remembers which files on disk decoded to which
store, by their sizes and times, so that a second look costs no decoding.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from revit.datasets.building import STORE_VERSION, Written, kept_bytes, write_images
from revit.datasets.readers import reader_for
from revit.datasets.readers.base import Reader
from revit.datasets.readers.images import decode_image, decoder
from revit.datasets.registry import DATASETS
from revit.datasets.splits import Splits, split
from revit.errors import BrokenImagesError, InputError
from revit.paths import check_writable

MANIFEST_VERSION = 3
"""Of what manifest.json tells beside the digest: a store with an older one is decoded again, and is found equal."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a store says of itself.

    Attributes:
        digest: covers pixels, sizes, labels, splits and class names.
        num_shared: test images whose very pixels are also those of a training image.
        skipped: why each image that was left out is broken.
        decoder: what decoded those that are kept encoded; empty where none is.
    """

    dataset: str
    digest: str
    class_names: tuple[str, ...]
    channels: int
    num_train: int
    num_test: int
    num_shared: int
    skipped: tuple[str, ...] = ()
    decoder: str = ""


SPECIAL = ("skipped", "decoder")
"""Fields of a manifest that most stores have nothing to say in."""

MAX_NAMED = 10
"""Broken images that a message names."""


def store_caveats(manifest: Manifest) -> list[str]:
    """What a reader of results should know of a store: a line each; none where all is as it should be.

    These are where its counts are not the registry's, test images that are training images too, and broken images.
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
    if manifest.skipped:
        told.append(f"dataset {manifest.dataset} is without {_named(manifest.skipped)}")
    return told


def _named(broken: Sequence[str]) -> str:
    """Return how many images are broken, and the first of them."""
    more = [f"{len(broken) - MAX_NAMED:,} more"] if len(broken) > MAX_NAMED else []
    return f"{len(broken):,} broken images: {'; '.join([*broken[:MAX_NAMED], *more])}"


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
            lists = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
            self.manifest = Manifest(**{**record, **lists})
            with np.load(folder / "layout.npz") as layout:
                self.labels: npt.NDArray[np.int64] = layout["labels"]
                self.is_test: npt.NDArray[np.bool_] = layout["is_test"]
                self.sizes: npt.NDArray[np.int64] = layout["sizes"]
                self._offsets: npt.NDArray[np.int64] = layout["offsets"]
            mapped = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="c")
            self._pixels: npt.NDArray[np.uint8] = np.asarray(mapped)  # numpy cuts its memmaps four times as slowly
            decoded = self.sizes.prod(axis=1) * self.manifest.channels
            is_encoded = np.diff(self._offsets) < decoded
            self._encoded: npt.NDArray[np.bool_] | None = is_encoded if is_encoded.any() else None
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
        """Image `index` as (H, W, C) uint8: a view of the mapped file, whose pages are private, or decoded from it."""
        height, width = self.sizes[index]
        kept = self._pixels[self._offsets[index] : self._offsets[index + 1]]
        if self._encoded is not None and self._encoded[index]:
            return decode_image(kept.tobytes(), f"{index} of {self.folder}")
        return kept.reshape(height, width, self.manifest.channels)


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
    """The store of a dataset, built first where this machine has none of these very files.

    Args:
        dataset: a registered name or `folder:PATH`.
        data_dir: where downloaded datasets lie.
        cache_dir: where stores are kept, on a disk local to the machine.
        skip_broken: leave out images that cannot be decoded, which the manifest names.

    Raises:
        InputError: the dataset is not there, an image cannot be decoded, or a disk does not let one read or write.
    """
    try:
        return _open_or_build(dataset, data_dir, cache_dir, skip_broken)
    except OSError as error:
        raise InputError(f"dataset {dataset} cannot be decoded into {cache_dir}: {error}") from error


def bytes_to_write(dataset: str, *, data_dir: Path, cache_dir: Path) -> int:
    """Return how many bytes `open_store` would write into the cache; 0 where it has the dataset.

    Raises:
        InputError: the dataset is not there, or cannot be read.
    """
    try:
        reader = reader_for(dataset)
        files = reader.find(data_dir)
        if _folder_of(dataset, files, cache_dir) is not None:
            return 0
        _, samples = reader.read(files)
        return kept_bytes(samples)
    except OSError as error:
        raise InputError(f"dataset {dataset} cannot be read: {error}") from error


def _open_or_build(dataset: str, data_dir: Path, cache_dir: Path, skip_broken: bool) -> ImageStore:
    reader = reader_for(dataset)
    files = reader.find(data_dir)
    check_writable(cache_dir, "cache")
    known = _record_of(dataset, files, cache_dir)
    known.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(known.with_suffix(".lock")):
        folder = _folder_of(dataset, files, cache_dir)
        store = None if folder is None else ImageStore(folder)
        if store is None or not _is_current(store.manifest, skip_broken):
            store = ImageStore(_build(dataset, reader, files, cache_dir, skip_broken))
            known.write_text(store.folder.name)
    return store


def _record_of(dataset: str, files: list[Path], cache_dir: Path) -> Path:
    """Return the file that remembers which store these files were decoded to."""
    seen = hashlib.sha256(os.fsencode(f"{STORE_VERSION} {MANIFEST_VERSION} {dataset}"))
    for path in files:
        status = path.stat() if path.exists() else path.lstat()  # a link to nowhere: an image that is broken
        seen.update(os.fsencode(f"\0{path} {status.st_size} {status.st_mtime_ns}"))
    return cache_dir / "sources" / f"{seen.hexdigest()[:32]}.txt"


def _folder_of(dataset: str, files: list[Path], cache_dir: Path) -> Path | None:
    """Return the store that these files were decoded to; None where the cache has it not."""
    known = _record_of(dataset, files, cache_dir)
    folder = cache_dir / known.read_text(errors="replace") if known.exists() else None
    return folder if folder is not None and (folder / "manifest.json").exists() else None


def _is_current(manifest: Manifest, skip_broken: bool) -> bool:
    """Return whether a store would be built again as it is."""
    return manifest.decoder in ("", decoder()) and (skip_broken or not manifest.skipped)


def _build(dataset: str, reader: Reader, files: list[Path], cache_dir: Path, skip_broken: bool) -> Path:
    """Decode everything into a temporary folder, then rename it to its digest's name."""
    class_names, samples = reader.read(files)
    partial = Path(tempfile.mkdtemp(prefix="building-", dir=cache_dir))
    try:
        written = write_images(partial / "pixels.bin", dataset, class_names, samples)
        if written.skipped and not skip_broken:
            broken = _named(written.skipped)
            raise BrokenImagesError(f"dataset {dataset} has {broken}")
        manifest = _manifest(dataset, class_names, written)
        np.savez(partial / "layout.npz", allow_pickle=False, **written.layout)
        (partial / "manifest.json").write_text(json.dumps(_stated(manifest), indent=1))
        label = dataset if dataset.isidentifier() else "folder"
        folder = cache_dir / f"{label}-{manifest.digest[:16]}"
        if folder.exists():  # the same content, from other files or from an older version of this module
            (partial / "manifest.json").replace(folder / "manifest.json")
            return folder
        partial.rename(folder)
        return folder
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _manifest(dataset: str, class_names: list[str], written: Written) -> Manifest:
    labels, is_test = written.layout["labels"], written.layout["is_test"].astype(bool)
    num_test = int(is_test.sum())
    manifest = Manifest(
        dataset=dataset,
        digest=written.digest,
        class_names=tuple(class_names),
        channels=written.channels,
        num_train=len(labels) - num_test,
        num_test=num_test,
        num_shared=written.num_shared,
        skipped=written.skipped,
        decoder=decoder() if written.has_encoded else "",
    )
    if manifest.num_train == 0 or num_test == 0:
        raise InputError(f"dataset {dataset} has {manifest.num_train} training and {num_test} test images")
    lost = set(range(len(class_names))) - set(labels[~is_test].tolist()) if written.skipped else set()
    if lost:
        raise InputError(f"dataset {dataset}: only broken training images are of class {class_names[min(lost)]}")
    return manifest


def _stated(manifest: Manifest) -> dict[str, object]:
    """Return what manifest.json holds: a store that nothing is special about says no more than it did at first."""
    return {name: value for name, value in asdict(manifest).items() if name not in SPECIAL or value}
