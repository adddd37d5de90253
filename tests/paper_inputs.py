"""Inputs of the paper's studies at paper scale: synthetic, few images, in the formats of the published files."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revit.datasets.readers.cifar import CIFAR10, CIFAR100, Cifar
from revit.datasets.registry import DATASETS
from tests.revit.datasets.sample_files import cifar_files, packed, publish, table_of, tar_of
from tests.revit.models.jax_arrays import BIT_R50X1, VIT_B16, Shapes, bit_shapes, random_arrays, vit_shapes

RNG = np.random.default_rng(0)
CIFARS = {
    "cifar10": (CIFAR10, dict.fromkeys(CIFAR10.batches, 100)),
    "cifar100": (CIFAR100, {"train": 5000, "test": 200}),
}
"""Fewest training images whose 2 % for validation have every class."""
TABLES = {
    "flowers102_nelorth": ("data/{}-00000-of-00001.parquet", 12, (60, 50)),
    "plant_health": ("default/{}/0000.parquet", 50, (640, 640)),
    "weapons": ("default/{}/0000.parquet", 75, (512, 512)),
}
"""Name of a table, training images of a class, size of an image in px: enough for a batch of 128. Of 12 images, 1 % are
of a class of 102."""
MRI_FOLDERS = {"Training": 40, "Testing": 5}
WEIGHTS = {
    "ViT-B_16": vit_shapes(VIT_B16),
    "vit_b16_in21k_ft_in1k": vit_shapes(VIT_B16._replace(num_labels=1000), pre_logits=False),
    "BiT-M-R50x1": bit_shapes(BIT_R50X1),
}


def write_datasets(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write all datasets of the studies. Archives whose digest is published are published as they are here."""
    for name, (cifar, counts) in CIFARS.items():
        archive = _archive(cifar, counts)
        publish(monkeypatch, name, {DATASETS[name].files[0].path: archive})
        _write(data_dir / DATASETS[name].files[0].path, archive)
    for name, (file, per_class, size) in TABLES.items():
        num_classes = DATASETS[name].num_classes
        _write(data_dir / name / file.format("train"), _table(list(range(num_classes)) * per_class, size))
        _write(data_dir / name / file.format("test"), _table(list(range(num_classes)), size))
    for folder, per_class in MRI_FOLDERS.items():
        for kind in ("glioma", "meningioma", "notumor", "pituitary"):
            for number in range(per_class):
                path = data_dir / "brain_tumor_mri" / folder / kind / f"Tr-{number:04d}.jpg"
                _write(path, photograph((512, 512 - number), mode="L"))


def write_weights(folder: Path, *, in_full: bool = True) -> None:
    """Write the weights of the studies; else files of their names without content, which a plan does not read."""
    folder.mkdir()
    for name, shapes in WEIGHTS.items():
        np.savez(folder / f"{name}.npz", **(_weights(shapes) if in_full else {}))


def photograph(size: tuple[int, int], mode: str = "RGB") -> bytes:
    """Return a JPEG of colors that change slowly, as those of photographs do."""
    colors = Image.fromarray(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)).convert(mode)
    file = io.BytesIO()
    colors.resize(size, Image.Resampling.BILINEAR).save(file, "jpeg")
    return file.getvalue()


def _archive(cifar: Cifar, counts: dict[str, int]) -> bytes:
    return packed(tar_of(cifar_files(cifar, counts)))


def _table(labels: Sequence[int], size: tuple[int, int]) -> bytes:
    images = [{"bytes": photograph(size), "path": f"{number}.jpg"} for number in range(len(labels))]
    names = [str(number) for number in range(max(labels) + 1)]
    return table_of(labels=labels, images=images, features={"info": {"features": {"label": {"names": names}}}})


def _weights(shapes: Shapes) -> dict[str, np.ndarray]:
    """Return random weights with which activations neither vanish nor grow: norms multiply by about one."""
    arrays = random_arrays(shapes, std=0.02)
    return {name: array + 1 if name.endswith(("/scale", "/gamma")) else array for name, array in arrays.items()}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
