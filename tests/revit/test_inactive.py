"""What is said to have no effect, against training: the weights come out the same to the bit."""

from collections.abc import Callable

import pytest
import torch

from revit.config import FineTuneConfig
from revit.inactive import ACTIVE, without_inactive

INACTIVE = {
    "the images of a fraction of all": ({}, {"subset_seed": 3}),
    "the area of crops, of whole images": ({"train_crop": "none"}, {"crop_scale": (0.2, 0.3)}),
    "the size before cutting, of crops of any area": ({}, {"resize_factor": 2.0}),
    "the frame, of crops of any area": ({}, {"crop_padding": 4}),
    "resizing position embeddings to where they are": ({"resolution": 28}, {"model.pos_embed_resize": "jax"}),
    "resizing what is removed": ({"model.pos_embed": "none"}, {"model.pos_embed_resize": "jax"}),
    "resizing what is not there": ({"model.name": "bit_nano"}, {"model.pos_embed_resize": "jax"}),
    "resizing what is drawn": ({"model.pretrained": False}, {"model.pos_embed_resize": "jax"}),
    "momentum of Adam": ({"optimizer.name": "adam"}, {"optimizer.momentum": 0.1}),
    "when a constant rate moves": ({"schedule.name": "constant"}, {"schedule.update": "epoch"}),
    "cosine's t_max": ({"schedule.name": "linear"}, {"schedule.t_max": 2.0}),
    "multistep's steps": ({}, {"schedule.milestones": (0.5,)}),
    "where exponential ends": ({}, {"schedule.end_factor": 0.5}),
    "plateau's factor": ({}, {"schedule.plateau_factor": 0.1}),
    "plateau's patience": ({}, {"schedule.plateau_patience": 0}),
    "plateau that cannot act": (
        {"schedule.name": "constant", "optimizer.lr": 1e-6, "num_evals": 3}, {"schedule.name": "plateau"}
    ),
    "how often the last weights are validated": ({}, {"num_evals": 12}),
    "a curve to look at": ({}, {"test_curve": True}),
    "the best of one": ({"num_evals": 1}, {"selection": "best_val"}),
    "what all of the table were trained with": ({}, {"normalization": "inception"}),
}  # fmt: skip


@pytest.mark.parametrize("case", INACTIVE)
def test_what_has_no_effect_trains_the_same_weights(small: FineTuneConfig, train: Callable, case: str) -> None:
    base, change = INACTIVE[case]
    configs = [small.with_values({"steps": 4, **base, **also}) for also in ({}, change)]
    assert without_inactive(configs[0]) == without_inactive(configs[1])
    one, other = (train(config)[0].model.state_dict() for config in configs)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_every_field_of_the_table_was_tried() -> None:
    assert ACTIVE.keys() <= {path for _, change in INACTIVE.values() for path in change}


ACTING = {
    "plateau that may act": (
        {"schedule.name": "constant", "optimizer.lr": 1e-6, "num_evals": 4}, {"schedule.name": "plateau"}
    ),
    "momentum of SGD": ({}, {"optimizer.momentum": 0.1}),
    "the area of crops": ({}, {"crop_scale": (0.2, 0.3)}),
    "resizing position embeddings": ({}, {"model.pos_embed_resize": "jax"}),
    "cosine's t_max": ({}, {"schedule.t_max": 2.0}),
}  # fmt: skip


@pytest.mark.parametrize("case", ACTING)
def test_what_acts_is_told_apart_and_trains_other_weights(small: FineTuneConfig, train: Callable, case: str) -> None:
    base, change = ACTING[case]
    configs = [small.with_values({"steps": 4, **base, **also}) for also in ({}, change)]
    assert without_inactive(configs[0]) != without_inactive(configs[1])
    one, other = (train(config)[0].model.state_dict() for config in configs)
    assert not all(torch.equal(one[name], other[name]) for name in one)
