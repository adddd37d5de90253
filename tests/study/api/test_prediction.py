"""Predictions of an exported folder, as a notebook asks for them."""

from pathlib import Path

import numpy as np
from PIL import Image

from study import api
from study.export.exported_program import write_program_file
from tests.study.export.untrained import CLASS_NAMES, untrained_model


def test_a_folder_of_images_is_predicted(tmp_path: Path) -> None:
    write_program_file(untrained_model(), tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(256, size=(9, 9), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    files = api.find_images([tmp_path / "images"])
    predicted = list(api.predict_files(api.load_exported(tmp_path, "cpu"), files))
    assert [each.file.name for each in predicted] == ["0.png", "1.png", "2.png"]
    assert {each.class_name for each in predicted} <= set(CLASS_NAMES)
    assert all(1 / 3 < each.probability < 1 for each in predicted)
