"""What cells and trials are called."""

from study.labels import label, short_names


def test_a_label_names_the_axis_of_every_value() -> None:
    assert label({"optimizer.name": "sgd", "optimizer.lr": 0.1}) == "optimizer=sgd lr=0.1"
    assert label({"model.pos_embed": "learned", "data_fraction": 0.25}) == "pos_embed=learned data_fraction=0.25"


def test_two_axes_of_one_short_name_keep_their_paths() -> None:
    assert short_names(["optimizer", "optimizer.name", "seed"]) == ["optimizer", "optimizer.name", "seed"]
