"""Labels of cells, trials or values."""

import pytest

from study.labels import format_value, label


def test_a_label_names_the_axis_of_every_value() -> None:
    assert label({"optimizer.name": "sgd", "optimizer.lr": 0.1}) == "optimizer=sgd lr=0.1"
    assert label({"model.pos_embed": "learned", "data_fraction": 0.25}) == "pos_embed=learned data_fraction=0.25"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1e-5, "1e-05"), (1e12, "1e+12"), (1.0, "1"), (0.1, "0.1"), (0.12345678, "0.12345678"), (3, "3")),
        (10 * 0.0103, "0.103"),
        (None, "None"),
    ],
)
def test_a_value_is_as_short_as_six_digits_allow(value: object, text: str) -> None:
    assert format_value(value) == text
