"""Two configs have one identity exactly if what is built and trained is the same."""

from collections.abc import Callable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.identity import InputDigests, identity
from revit.models.weights import find_weights, weights_digest
from revit.training.built import built_digest

BASE = FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=3, num_evals=3, data_fraction=0.1)
VALUES: dict[str, tuple[object, ...]] = {
    "resolution": (8, 28), "data_fraction": (0.1, 0.1001, 1.0), "subset_seed": (0, 1), "val_fraction": (0.1, 0.2),
    "train_crop": ("random_resized", "resized", "padded", "none"), "crop_scale": ((0.08, 1.0), (0.6, 1.0)),
    "resize_factor": (1.25, 1.5), "crop_padding": (2, 1), "hflip": (True, False), "mixup": (0.0, 0.4),
    "cutmix": (0.0, 1.0), "augmentation": ("none", "randaugment", "trivialaugment"), "randaugment_num_ops": (2, 1),
    "randaugment_magnitude": (9, 20), "random_erasing": (0.0, 1.0), "loss": ("cross_entropy", "binary_cross_entropy"),
    "label_smoothing": (0.0, 0.1), "ema_decay": (0.0, 0.5), "normalization": ("model", "inception", "cifar10"),
    "sampling": ("shuffled", "with_replacement"), "batch_size": (16, 8),
    "num_evals": (3, 5, 1), "eval_every": (None, 1, "1 steps", "33 percent", "16 images"), "test_curve": (False, True),
    "test": (True, False), "selection": ("last", "best_val"), "seed": (0, 1),
    "model.name": ("vit_nano", "bit_nano"), "model.pretrained": (True, False), "model.pos_embed": ("learned", "none"),
    "model.pos_embed_resize": ("timm", "jax"), "model.head_init": ("zeros", "normal"), "model.dropout": (0.0, 0.1),
    "model.head_dropout": (0.0, 0.1), "model.drop_path": (0.0, 0.1), "model.trained": ("all", "head", "mlp", "norms"),
    "model.frozen": ("none", "embedding", "first_1"), "model.adapter": ("none", "lora", "ia3"),
    "model.adapter_rank": (8, 2), "model.adapter_alpha": (16.0, 4.0),
    "optimizer.name": ("sgd", "adam", "adamw", "lion"), "optimizer.lr": (0.03, 0.1), "optimizer.momentum": (0.9, 0.5),
    "optimizer.betas": (None, (0.9, 0.999), (0.8, 0.9)), "optimizer.eps": (None, 1e-8, 1e-4),
    "optimizer.weight_decay": (0.0, 0.1), "optimizer.layer_decay": (1.0, 0.5), "optimizer.max_grad_norm": (1.0, None),
    "schedule.name": ("cosine", "linear", "exponential", "multistep", "plateau", "constant"),
    "schedule.update": ("step", "epoch"), "schedule.warmup": (0, 1, "1 steps", "33 percent", "16 images"),
    "schedule.t_max": (None, 2.0), "schedule.milestones": ((0.3, 0.6, 0.9), (0.5,)), "schedule.end_factor": (0.01, 0.5),
    "schedule.plateau_factor": (0.5, 0.1), "schedule.plateau_patience": (1, 0),
}  # fmt: skip
"""Values of each field; some differ in writing only. A micro-batch changes the rounding, and is not among them."""
BUDGETS: list[dict[str, object]] = [{}, {"steps": None, "epochs": 0.3}, {"steps": None, "epochs": 1.0}]


def test_an_identity_stands_for_one_training(
    fuzz: Callable[..., None], digits: ImageStore, train: Callable, make_listener: Callable
) -> None:
    @cache
    def trained(config: FineTuneConfig) -> tuple[str, tuple[Any, ...]]:
        """Return the digest of what is built, and every loss."""
        listener = make_listener()
        result, _ = train(config, listener)
        losses = [value for row in listener.rows for name, value in sorted(row.items()) if name.endswith("loss")]
        return built_digest(listener.built), (*losses, result.metrics.get("test_loss"))

    def identity_of(config: FineTuneConfig) -> str:
        splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
        digests = InputDigests(
            data=digits.manifest.digest,
            splits=splits.digest,
            weights=weights_digest(find_weights(config.model)),
            has_val=bool(len(splits.val)),
            functions={},
        )
        return identity(config, compile_budget(config, len(splits.train), splits.num_all), digests)

    def check(budget: dict[str, object], common: dict[str, object], paths: list[str], drawn: list[int]) -> None:
        try:
            one = BASE.with_values({**budget, **common})
            changes = {path: VALUES[path][n % len(VALUES[path])] for path, n in zip(paths, drawn, strict=False)}
            other = one.with_values(changes)
            same = trained(one) == trained(other)
        except InputError:
            return  # these values do not go together
        assert (identity_of(one) == identity_of(other)) is same, changes

    path = st.sampled_from(list(VALUES))
    common = st.lists(path, max_size=3, unique=True).flatmap(
        lambda paths: st.fixed_dictionaries({each: st.sampled_from(VALUES[each]) for each in paths})
    )
    changed = st.lists(path, min_size=1, max_size=2, unique=True)
    fuzz(25, check, st.sampled_from(BUDGETS), common, changed, st.lists(st.integers(0, 5), min_size=2, max_size=2))
