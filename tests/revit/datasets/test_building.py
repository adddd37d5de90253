"""Stores of large or broken images."""

import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches, train_batch
from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.manifest import store_caveats
from revit.errors import InputError


def write(root: Path, name: str, size: tuple[int, int] = (8, 8), seed: int = 0, **options: object) -> Path:
    """A smooth image in colors, in a file that may be kept smaller than its pixels."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    coarse.resize(size, Image.Resampling.BILINEAR).save(path, **options)
    return path


def write_classes(root: Path, count: int = 5) -> Path:
    """Two classes of small images, not split."""
    for name in ("cat", "dog"):
        for number in range(count):
            write(root, f"{name}/{number}.png", seed=number)
    return root


def opened(folder: Path, tmp_path: Path, **options: bool) -> ImageStore:
    return open_store(f"folder:{folder}", data_dir=tmp_path, cache_dir=tmp_path / "cache", **options)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Photographs beyond the limit, one of them turned by its EXIF, one a PNG, and one small image."""
    root = tmp_path / "large"
    turned = Image.Exif()
    turned[0x0112] = 6
    for split in ("train", "test"):
        write(root, f"{split}/cat/0.jpg", (1300, 1200), seed=1)
        write(root, f"{split}/cat/1.jpg", (1450, 1100), seed=2, exif=turned)
        write(root, f"{split}/dog/0.png", (1250, 1150), seed=3)
        write(root, f"{split}/dog/1.jpg", (60, 40), seed=4)
    return root


@pytest.fixture
def decoded(large: Path, tmp_path: Path) -> Path:
    """The same pixels, by PIL, in files that are not smaller than these, so that they are kept decoded."""
    for path in large.rglob("*.*"):
        target = (tmp_path / "decoded" / path.relative_to(large)).with_suffix(".bmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            ImageOps.exif_transpose(image).save(target)
    return tmp_path / "decoded"


def test_an_encoded_image_gives_the_crops_of_the_decoded_one_to_the_bit(
    large: Path, decoded: Path, tmp_path: Path
) -> None:
    ours, oracle = opened(large, tmp_path), opened(decoded, tmp_path)
    assert (ours.sizes == oracle.sizes).all()
    assert (ours.folder / "pixels.bin").stat().st_size < 0.1 * (oracle.folder / "pixels.bin").stat().st_size
    config = FineTuneConfig(dataset="digits", resolution=48, steps=1, batch_size=4)
    train, test = np.flatnonzero(~ours.is_test), np.flatnonzero(ours.is_test)
    for crop in ("random_resized", "resized", "padded", "none"):
        batches = [train_batch(config.with_values({"train_crop": crop}), each, train, 0) for each in (ours, oracle)]
        assert torch.equal(batches[0].images, batches[1].images), crop
        assert torch.equal(batches[0].labels, batches[1].labels)
    [one], [other] = (list(eval_batches(each, test, 48, 4)) for each in (ours, oracle))
    assert torch.equal(one.images, other.images)


def test_encoding_and_decoder_are_recorded(large: Path, decoded: Path, tmp_path: Path) -> None:
    """The digest covers the encoding; another decoder may round differently, so images are decoded again."""
    ours, oracle = opened(large, tmp_path), opened(decoded, tmp_path)
    assert ours.manifest.digest != oracle.manifest.digest
    assert ours.manifest.decoder.startswith("Pillow ")
    assert oracle.manifest.decoder == ""
    manifest = ours.folder / "manifest.json"
    today = manifest.read_text()
    manifest.write_text(today.replace("Pillow", "Pillow 1.0 or"))
    assert not ImageStore(ours.folder).has_own_decoder
    assert oracle.has_own_decoder
    assert opened(large, tmp_path).folder == ours.folder
    assert manifest.read_text() == today


def test_a_batch_of_encoded_images_is_decoded_one_by_one(large: Path, tmp_path: Path) -> None:
    """Memory holds the pixels of one or two images, not of a batch."""
    images = opened(large, tmp_path)
    largest = int(images.sizes.prod(axis=1).max()) * 3
    config = FineTuneConfig(dataset="digits", resolution=48, steps=1, batch_size=24, train_crop="none")
    many = np.repeat(np.flatnonzero(images.sizes.min(axis=1) > 1000), 4)
    tracemalloc.start()
    try:
        train_batch(config, images, many, 0)
        assert largest < tracemalloc.get_traced_memory()[1] < 5 * largest
    finally:
        tracemalloc.stop()


def test_a_terminal_shows_how_many_images_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(write_classes(tmp_path / "[a]"), tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "1000")
    opened(write_classes(tmp_path / "[b]"), tmp_path)
    out, err = capsys.readouterr()
    assert (out, "/[b] " in err, "10/?" in err) == ("", True, True)


def test_broken_images_are_named_or_skipped(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "some")
    whole = opened(root, tmp_path)
    for number in range(12):
        (root / f"cat/torn {number:02}.png").write_bytes(b"torn")
    os.mkfifo(root / "dog/pipe.png")
    (root / "dog/away.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError) as raised:
        opened(root, tmp_path)
    message = str(raised.value)
    assert message.startswith(f"dataset folder:{root} has 14 broken images: the image {root}/cat/torn 00.png cannot be")
    assert message.count("cannot be decoded: ") == 10
    assert message.endswith("; 4 more")

    rest = opened(root, tmp_path, skip_broken=True)
    assert (rest.labels == whole.labels).all()
    assert all((rest.image(index) == whole.image(index)).all() for index in range(len(whole)))
    assert rest.manifest.digest != whole.manifest.digest, "the digest covers the number of skipped images"
    assert len(rest.manifest.skipped) == 14
    assert f"{root}/dog/pipe.png is not a regular file" in rest.manifest.skipped
    caveat = store_caveats(rest.manifest)[-1]
    assert caveat.startswith(f"dataset folder:{root} is without 14 broken images: the image {root}/cat/torn 00.png")
    written = (rest.folder / "pixels.bin").stat().st_mtime_ns
    assert opened(root, tmp_path, skip_broken=True).manifest == rest.manifest
    assert (rest.folder / "pixels.bin").stat().st_mtime_ns == written
    with pytest.raises(InputError, match="14 broken images"):
        opened(root, tmp_path)


def test_a_class_with_only_broken_images_is_refused(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "some")
    for path in (root / "cat").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(InputError, match="all training images of class cat are broken"):
        opened(root, tmp_path, skip_broken=True)
