"""Predictions of image files against the images of a store, as a trial evaluates them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from revit.datasets.batches import eval_batches, to_input
from revit.datasets.image_store import ImageStore, open_store
from revit.errors import InputError
from study.export.exported_program import LoadedProgram, PixelNetwork, describe_model
from study.export.image_predictions import BATCH_SIZE, find_images, predict_files
from tests.study.export.untrained import CLASS_NAMES, untrained_model

CPU = torch.device("cpu")
MODEL = untrained_model(16)
PROGRAM = LoadedProgram(PixelNetwork(MODEL.network, MODEL.normalization), describe_model(MODEL), CPU)
"""A program that is not traced."""


def write_images(folder: Path) -> list[Path]:
    """Write images of all modes and sizes, more than a batch, one of them lying on its side; return their paths."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, mode in enumerate(["RGB", "L", "RGBA", "P", "1", "CMYK"] * 12):
        pixels = rng.integers(256, size=(*rng.integers(5, 40, 2), 3), dtype=np.uint8)
        suffix = "tif" if mode == "CMYK" else "PNG"
        Image.fromarray(pixels).convert(mode).save(folder / f"{number:03d}.{suffix}")
    on_its_side = Image.Exif()
    on_its_side[0x0112] = 6
    Image.fromarray(pixels).save(folder / "on its side.jpg", exif=on_its_side)
    return sorted(folder.iterdir())


def expected_predictions(store: ImageStore) -> list[tuple[str, float]]:
    """Return class and probability of each image of a store, as a trial would."""
    batches = eval_batches(store, np.arange(len(store)), MODEL.resolution, BATCH_SIZE)
    with torch.inference_mode():
        logits = torch.cat([MODEL.network(to_input(batch.images, MODEL.normalization, CPU)) for batch in batches])
    probability, label = logits.softmax(dim=1).max(dim=1)
    return [(CLASS_NAMES[each], value) for each, value in zip(label.tolist(), probability.tolist(), strict=True)]


def test_files_are_predicted_as_the_images_of_a_dataset_of_them(tmp_path: Path) -> None:
    files = write_images(tmp_path / "data" / "class")
    store = open_store(f"folder:{tmp_path / 'data'}", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    predicted = list(predict_files(PROGRAM, files, num_threads=2))
    assert [each.file for each in predicted] == files
    assert [(each.class_name, each.probability) for each in predicted] == expected_predictions(store)
    assert len({each.probability for each in predicted}) > BATCH_SIZE, "the test needs different answers"


def test_files_that_cannot_be_decoded_do_not_move_the_answers_of_others(tmp_path: Path) -> None:
    files = write_images(tmp_path / "images")
    alone = {each.file: each for each in predict_files(PROGRAM, files, num_threads=1)}
    broken = [tmp_path / name for name in ("empty.png", "cut short.png", "gone.png", "folder.png")]
    broken[0].touch()
    broken[1].write_bytes(files[0].read_bytes()[:60])
    broken[3].mkdir()
    mixed = [broken[0], *files[:3], *broken[1:], *files[3:]]
    predicted = list(predict_files(PROGRAM, mixed, num_threads=1))
    assert [each.file for each in predicted] == mixed
    for each in predicted:
        if each.file in broken:
            assert each.problem.startswith(f"the image {each.file} cannot be decoded: ") or "regular" in each.problem
            assert each.class_name == ""
        else:
            assert each.class_name == alone[each.file].class_name
            assert each.probability == pytest.approx(alone[each.file].probability, abs=1e-6)
    assert [each.class_name for each in predict_files(PROGRAM, broken, num_threads=1)] == [""] * 4


def test_folders_are_searched_whole_and_a_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.JPEG", "a/.hidden.png", ".hidden/d.png", "notes.txt", "picture"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    inside = [tmp_path / "a/c.JPEG", tmp_path / "b.png"]
    assert find_images([tmp_path]) == inside
    assert find_images([tmp_path / "picture", tmp_path, tmp_path / "b.png"]) == [tmp_path / "picture", *inside]


def test_a_path_without_images_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=rf"^{tmp_path} has no images: must have files \.bmp, .* begin with a dot$"):
        find_images([tmp_path])
    with pytest.raises(InputError, match=f"^{tmp_path}/gone: there is no such file or folder$"):
        find_images([tmp_path / "gone"])
    (tmp_path / "round").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"round is a link to a folder that holds it: remove the link$"):
        find_images([tmp_path])
