"""Build an image store: decode every image once, write it, describe it."""

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from revit.datasets.manifest import Manifest, list_broken
from revit.datasets.readers.base import Contents, Sample
from revit.datasets.readers.images import ImageFile, decode_image, decoder
from revit.datasets.registry import FOLDER_PREFIX, SPECS, TEST_SETS
from revit.datasets.splits import test_indices
from revit.errors import BrokenImagesError, InputError

STORE_VERSION = 1
"""Part of every digest, and so of every trial's identity. It changes with the meaning of a store's pixels."""

MAX_DECODED_BYTES = 4 * 2**20
"""An image with more bytes of pixels (1.4 megapixels in color) is kept encoded, if that is smaller. Where the spec of a
dataset says that it is kept encoded, this holds for every image."""

Layout = dict[str, npt.NDArray[Any]]
"""Arrays by name: offsets (n+1,) into the file of pixels, sizes (n, 2) as H W, labels (n,), is_test (n,)."""


def build_store(dataset: str, contents: Contents, cache_dir: Path, *, skip_broken: bool) -> Path:
    """Decode a dataset into a temporary folder, then rename it by its digest; return the folder."""
    class_names, samples = contents
    partial = Path(tempfile.mkdtemp(prefix="building-", dir=cache_dir))
    try:
        manifest, layout = write_images(partial / "pixels.bin", dataset, class_names, samples)
        if manifest.skipped and not skip_broken:
            raise BrokenImagesError(f"dataset {dataset} has {list_broken(manifest.skipped)}")
        _check_splits(manifest, layout)
        np.savez(partial / "layout.npz", allow_pickle=False, **layout)
        manifest.write(partial / "manifest.json")
        label = "folder" if dataset.startswith(FOLDER_PREFIX) else dataset
        folder = cache_dir / f"{label}-{manifest.digest[:16]}"
        if folder.exists():  # the same content, from other files or by an older version of this module
            (partial / "manifest.json").replace(folder / "manifest.json")
            return folder
        partial.rename(folder)
        return folder
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_splits(manifest: Manifest, layout: Layout) -> None:
    dataset, num_train, num_test = manifest.dataset, manifest.num_train, manifest.num_test
    is_test_set = dataset in TEST_SETS or dataset.startswith(FOLDER_PREFIX)
    if num_test == 0 or (num_train == 0 and not is_test_set):
        raise InputError(f"dataset {dataset} has {num_train} training and {num_test} test images")
    if num_train == 0:
        return
    trained = layout["labels"][~layout["is_test"]].tolist()
    lost = set(range(len(manifest.class_names))) - set(trained) if manifest.skipped else set()
    if lost:
        name = manifest.class_names[min(lost)]
        raise InputError(f"dataset {dataset}: all training images of class {name} are broken")


def write_images(
    path: Path, dataset: str, class_names: list[str], samples: Iterator[Sample]
) -> tuple[Manifest, Layout]:
    """Write every image to a file; leave out broken images.

    The digest covers pixels, sizes, labels, splits, class names, which images are encoded, how many are skipped.

    Raises:
        InputError: there is no image, or one that cannot be trained on.
    """
    content = hashlib.sha256()
    sizes: list[tuple[int, int]] = []
    labels: list[int] = []
    splits: list[str] = []
    lengths: list[int] = []
    image_digests: list[bytes] = []
    broken: list[str] = []
    channels = 0
    max_decoded = 0 if dataset in SPECS and SPECS[dataset].is_kept_encoded else MAX_DECODED_BYTES
    with path.open("wb") as file:
        for sample, label, part in _counted(samples, dataset):
            try:
                image, encoded = _decoded(sample, max_decoded)
            except InputError as error:
                broken.append(str(error))
                continue
            _check_sample(dataset, len(sizes), image, label, len(class_names), channels)
            height, width, channels = image.shape
            pixels = np.ascontiguousarray(image).reshape(-1).data
            kept = encoded or pixels
            file.write(kept)
            content.update(pixels)
            sizes.append((height, width))
            labels.append(label)
            splits.append(part)
            lengths.append(len(kept))
            image_digest = hashlib.sha256(f"{height} {width} ".encode())
            image_digest.update(pixels)
            image_digests.append(image_digest.digest())
    if not sizes:
        reason = f": {broken[0]}" if broken else ""
        raise InputError(f"dataset {dataset} has no images{reason}")
    layout = _layout(sizes, labels, splits, lengths)
    digest = finish_digest(content, layout, channels, class_names, len(broken))
    has_encoded = sum(lengths) < sum(height * width * channels for height, width in sizes)
    num_test = int(layout["is_test"].sum())
    manifest = Manifest(
        dataset=dataset,
        digest=digest,
        class_names=tuple(class_names),
        channels=channels,
        num_train=len(labels) - num_test,
        num_test=num_test,
        num_shared=_count_shared(image_digests, layout["is_test"]),
        skipped=tuple(broken),
        decoder=decoder() if has_encoded else "",
    )
    return manifest, layout


def _counted(samples: Iterator[Sample], dataset: str) -> Iterator[Sample]:
    """Yield samples; a terminal shows how many there have been: a large dataset takes an hour."""
    from rich.console import Console  # every trial loads this module; few of them build a store
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    description = TextColumn("decoding {task.description}", markup=False)
    columns = description, MofNCompleteColumn(), TextColumn("images"), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        yield from progress.track(samples, description=dataset)


def finish_digest(
    content: "hashlib._Hash", layout: Layout, channels: int, class_names: Sequence[str], num_skipped: int
) -> str:
    """Return the digest of a store, given the hash of all pixels."""
    for name in sorted(layout):
        content.update(name.encode() + np.ascontiguousarray(layout[name]).tobytes())
    skipped = [num_skipped] if num_skipped else []
    content.update(json.dumps([STORE_VERSION, channels, list(class_names), *skipped]).encode())
    return content.hexdigest()


def _decoded(image: npt.NDArray[np.uint8] | ImageFile, max_decoded: int) -> tuple[npt.NDArray[np.uint8], bytes]:
    """Return an image (H, W, C), and the content of its file if it is kept encoded: above `max_decoded` bytes."""
    if not isinstance(image, ImageFile):
        return image, b""
    content = image.read()
    pixels = decode_image(content, image.name)
    return pixels, content if max_decoded < pixels.nbytes > len(content) else b""


def _check_sample(
    dataset: str, number: int, image: npt.NDArray[np.uint8], label: int, num_classes: int, channels: int
) -> None:
    """Raise InputError unless image `number` can be trained on; `channels` is of those before it, 0 for the first."""
    if not 0 <= label < num_classes:
        raise InputError(f"dataset {dataset}: image {number} is of class {label}; there are 0 to {num_classes - 1}")
    usable = image.ndim == 3 and min(image.shape) > 0 and image.shape[2] in ({1, 3} if channels == 0 else {channels})
    if not usable:
        right = "height, width, and 1 or 3 channels, the same in all images"
        raise InputError(f"dataset {dataset}: image {number} has the shape {image.shape}; must be {right}")


def _count_shared(image_digests: list[bytes], is_test: npt.NDArray[np.generic]) -> int:
    """Count the test images that equal a training image, given a digest of each image's size and pixels."""
    in_train = {digest for digest, test in zip(image_digests, is_test, strict=True) if not test}
    return sum(digest in in_train for digest, test in zip(image_digests, is_test, strict=True) if test)


def _layout(sizes: list[tuple[int, int]], labels: list[int], splits: list[str], lengths: list[int]) -> Layout:
    classes, is_test = np.array(labels, np.int64), np.array(splits) == "test"
    unsplit = np.flatnonzero(np.array(splits) == "unsplit")
    if len(unsplit):
        is_test[unsplit[test_indices(classes[unsplit])]] = True
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return {"sizes": np.array(sizes, np.int64), "labels": classes, "is_test": is_test, "offsets": offsets}
