"""The frozen record that one trial trains, and the only place where defaults live.

    config = FineTuneConfig(dataset="digits", steps=60)
    config.with_values({"optimizer.lr": 0.1, "seed": 1})     # another config, checked again

Every value is checked when the record is built, so an impossible trial fails where it is written.
Nothing here imports torch: listing and planning a thousand trials is instant.
"""

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any, Literal

from revit.datasets.registry import check_dataset
from revit.errors import InputError
from revit.models.architectures import MODELS, patch_size
from revit.validation import check_types, field_types, require, short_repr, with_tuples


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, and what of it is kept from pretraining.

    Attributes:
        name: a name of `revit.models.architectures.MODELS`, or any timm classification model's.
        pretrained: start from its weights; otherwise from its random initialization.
        weights: the file or folder of them; None to look for it by the model's name. Its content is part
            of a trial's identity, its name is not.
        pos_embed: `learned` as the model has it, or `none`: zero and frozen.
        pos_embed_resize: how position embeddings come to another resolution, once, at load: as `timm`
            (bicubic, antialiased), `jax` (bilinear, corners aligned) or `hf` (bicubic) does it.
        head_init: how the new linear head starts (ViT, Appendix B.1.1: zeros); `torch`: by PyTorch's default.
        dropout: probability, after every dense layer and after the position embedding is added.
        attn_dropout: probability, on attention weights; a ViT only.
        head_dropout: probability, on what the head sees.
        attn_out_proj: whether attention ends in its linear output projection; an untrained ViT only.
        embed_std: standard deviation that position and class embedding of an untrained ViT are drawn
            with; None for timm's (.02 and 1e-6).
        linear_init: how the linear layers of an untrained ViT start, its head excepted: as `timm` does it (normal .02
            cut off) or by `torch`'s default (uniform, up to 1 / sqrt(inputs), bias included).
    """

    name: str = "vit_nano"
    pretrained: bool = True
    weights: str | None = None
    pos_embed: Literal["learned", "none"] = "learned"
    pos_embed_resize: Literal["timm", "jax", "hf"] = "timm"
    head_init: Literal["zeros", "trunc_normal", "normal", "torch"] = "zeros"
    dropout: float = 0.0
    attn_dropout: float = 0.0
    head_dropout: float = 0.0
    attn_out_proj: bool = True
    embed_std: float | None = None
    linear_init: Literal["timm", "torch"] = "timm"

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("dropout", "attn_dropout", "head_dropout"):
            require(0 <= getattr(self, name) < 1, f"model.{name}", getattr(self, name), "at least 0 and below 1")
        require(self.embed_std is None or self.embed_std > 0, "model.embed_std", self.embed_std, "above 0, or None")
        has_weights = self.name not in MODELS or MODELS[self.name].pretrained or self.weights is not None
        require(has_weights or not self.pretrained, "model.pretrained", True, f"False: {self.name} has no weights")
        require(self.pretrained or self.weights is None, "model.weights", self.weights, "None: it is not pretrained")
        changed = not self.attn_out_proj or self.embed_std is not None or self.linear_init != "timm"
        right = "False where attn_out_proj, embed_std or linear_init depart from the model that was trained"
        require(not (self.pretrained and changed), "model.pretrained", True, right)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights move.

    Attributes:
        name: a key of `revit.training.optimizers.OPTIMIZERS`.
        lr: peak learning rate; the schedule multiplies it.
        momentum: of SGD (Adam's betas are PyTorch's .9 and .999).
        weight_decay: on matrices only, never on biases, norms, class token or position embedding.
        max_grad_norm: largest global L2 norm of the gradient, or None for no clipping.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 0.03
    momentum: float = 0.9
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        require(self.lr > 0, "optimizer.lr", self.lr, "above 0")
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "at least 0 and below 1")
        require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "at least 0")
        norm = self.max_grad_norm
        require(norm is None or norm > 0, "optimizer.max_grad_norm", norm, "above 0, or None")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over the steps, as a factor of `optimizer.lr`.

    Attributes:
        name: a key of `revit.training.optimizers.SCHEDULES`.
        update: whether it moves with every `step`, or stands still for an `epoch` at the value of its first step.
        warmup_steps: steps of linear rise before the schedule proper begins.
        t_max: optimizer steps in which `cosine` falls from peak to zero, as T_max of PyTorch's CosineAnnealingLR; past
            it the rate rises and falls again. None for all steps.
        end_factor: factor that `exponential` reaches after the last step, as end_factor of PyTorch's LinearLR.
        milestones: shares of all steps, warmup included, after each of which `multistep` divides by ten.
        plateau_factor: what `plateau` multiplies the rate by, each time the validation loss has not improved for more
            than `plateau_patience` evaluations.
        plateau_patience: evaluations without a lower validation loss that `plateau` waits for.
    """

    name: Literal["cosine", "linear", "exponential", "multistep", "plateau", "constant"] = "cosine"
    update: Literal["step", "epoch"] = "step"
    warmup_steps: int = 0
    t_max: float | None = None
    milestones: tuple[float, ...] = (0.3, 0.6, 0.9)
    end_factor: float = 0.01
    plateau_factor: float = 0.5
    plateau_patience: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        require(self.warmup_steps >= 0, "schedule.warmup_steps", self.warmup_steps, "at least 0")
        t_max = self.t_max
        require(t_max is None or t_max > 0, "schedule.t_max", t_max, "above 0, or None")
        rising = all(0 < share < 1 for share in self.milestones) and list(self.milestones) == sorted(self.milestones)
        require(rising, "schedule.milestones", self.milestones, "rising shares between 0 and 1")
        require(0 < self.end_factor <= 1, "schedule.end_factor", self.end_factor, "above 0 and at most 1")
        require(0 < self.plateau_factor < 1, "schedule.plateau_factor", self.plateau_factor, "between 0 and 1")
        require(self.plateau_patience >= 0, "schedule.plateau_patience", self.plateau_patience, "at least 0")


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """All that one trial trains.

    Attributes:
        dataset: a name of `revit.datasets.registry.DATASETS`, or `folder:PATH`.
        resolution: side of the square images the model sees, in pixels.
        data_fraction: share of the training images used; nested and stratified.
        subset_seed: draws which images a fraction holds; separate from `seed`.
        val_fraction: share of the training split set aside, stratified, to choose by.
        train_crop: `random_resized` (Inception crop), `resized` (the image squashed to more than the resolution, and
            cut there), `padded` (squashed to the resolution, framed in black, and cut there) or `none` (the whole
            image, squashed, as for evaluation).
        crop_scale: smallest and largest area of a `random_resized` crop, as a share of the image's.
        resize_factor: side to which `resized` squashes, in multiples of the resolution.
        crop_padding: width of the frame of `padded`, in pixels.
        hflip: mirror half of the training images left to right.
        mixup: parameter of the Beta distribution by which pairs of training images and their labels are mixed, a
            share per batch (Zhang et al. 2018, arXiv:1710.09412); 0 for none.
        normalization: mean and standard deviation of the pixels: `model`, those that the model was trained with;
            `inception`, 0.5 and 0.5, which gives [-1, 1]; `imagenet` or `cifar10`, those of that dataset's channels.
        sampling: how an epoch draws images: `shuffled`, each once; or `with_replacement`, as many draws.
        steps, epochs: the budget: one of the two is given, the other None. An epoch's last batch may be smaller.
        epoch_images: what an epoch of the budget is counted over: the images `used`, or `all` that the fraction
            was taken of, so that every fraction is trained for as many steps.
        batch_size: effective batch, in images.
        micro_batch: images per forward pass, accumulated to `batch_size`; None for all at once.
            Changes memory and time; the gradient stays the same (with dropout, the same in expectation:
            masks are drawn anew). So it is no part of a trial's identity.
        num_evals: validations during training, evenly spaced, the last one at the last step.
        test_curve: score the test split at each of them, too; to be looked at beside published curves, never to
            choose by.
        selection: which weights are tested: the `last`, or those of the `best_val` accuracy.
        seed: of initialization, data order, crops, flips and dropout.
    """

    dataset: str
    resolution: int = 28
    data_fraction: float = 1.0
    subset_seed: int = 0
    val_fraction: float = 0.1
    train_crop: Literal["random_resized", "resized", "padded", "none"] = "random_resized"
    crop_scale: tuple[float, float] = (0.08, 1.0)
    resize_factor: float = 1.25
    crop_padding: int = 2
    hflip: bool = True
    mixup: float = 0.0
    normalization: Literal["model", "inception", "imagenet", "cifar10"] = "model"
    sampling: Literal["shuffled", "with_replacement"] = "shuffled"
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    steps: int | None = None
    epochs: float | None = None
    epoch_images: Literal["used", "all"] = "used"
    batch_size: int = 128
    micro_batch: int | None = None
    num_evals: int = 5
    test_curve: bool = False
    selection: Literal["last", "best_val"] = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        check_dataset(self.dataset)
        _check_resolution(self.resolution, self.model.name)
        require(0 < self.data_fraction <= 1, "data_fraction", self.data_fraction, "above 0 and at most 1")
        require(0 <= self.val_fraction < 1, "val_fraction", self.val_fraction, "at least 0 and below 1")
        smallest, largest = self.crop_scale
        require(0 < smallest <= largest <= 1, "crop_scale", self.crop_scale, "0 < smallest <= largest <= 1")
        require(self.resize_factor >= 1, "resize_factor", self.resize_factor, "at least 1")
        require(self.mixup >= 0, "mixup", self.mixup, "at least 0")
        require(self.crop_padding >= 0, "crop_padding", self.crop_padding, "at least 0")
        require(
            (self.steps is None) != (self.epochs is None),
            "steps, epochs",
            (self.steps, self.epochs),
            "exactly one of them",
        )
        for name in ("steps", "epochs", "batch_size", "micro_batch", "num_evals"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "above 0")
        for name in ("seed", "subset_seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        if self.val_fraction == 0:
            chosen_on_val = self.schedule.name == "plateau" or self.selection == "best_val"
            require(not chosen_on_val, "val_fraction", 0, "above 0: plateau and best_val look at validation images")

    def with_values(self, values: Mapping[str, object]) -> "FineTuneConfig":
        """The config with some fields changed, named by dotted path (`optimizer.lr`).

        Raises:
            InputError: a path that is no field (names close ones), or a value that does not do.
        """
        changes: dict[str, dict[str, Any]] = {}
        owner: Any = type(self)
        known = _paths(owner)
        for path, value in values.items():
            if path not in known:
                raise InputError(f"{short_repr(path)} is no field of a trial{_did_you_mean(str(path), known)}")
            part, _, name = path.rpartition(".")
            changes.setdefault(part, {})[name] = with_tuples(value)
        own = changes.pop("", {})
        return replace(self, **own, **{part: replace(getattr(self, part), **new) for part, new in changes.items()})

    def flat(self) -> dict[str, Any]:
        """Every value by its dotted path, in the order of the fields."""
        owner: Any = type(self)
        return {path: attrgetter(path)(self) for path in _paths(owner)}

    def num_steps(self, num_used: int, num_all: int) -> int:
        """Optimizer steps that the budget compiles to.

        An epoch is ceil(images / batch_size) steps, as with a DataLoader that keeps its last batch.

        Args:
            num_used: training images of the trial.
            num_all: training images that its fraction was taken of.
        """
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        num_images = {"used": num_used, "all": num_all}[self.epoch_images]
        return max(1, round(self.epochs * steps_per_epoch(num_images, self.batch_size)))


def steps_per_epoch(num_train: int, batch_size: int) -> int:
    """Batches that cover `num_train` images once, the last one possibly smaller."""
    return -(-num_train // batch_size)


def from_dict(record: Mapping[str, Any]) -> FineTuneConfig:
    """The config that `dataclasses.asdict`, or JSON, made a nested dict of.

    Raises:
        InputError: no dict, an unknown field, no dataset, or a value that does not do.
    """
    if not isinstance(record, Mapping):
        raise InputError(f"{short_repr(record)} is no config: must be a dict of its fields")
    if "dataset" not in record:
        raise InputError("the config has no dataset")
    return typing.cast(FineTuneConfig, _build(FineTuneConfig, record))


def _build(owner: type, record: Mapping[str, Any]) -> object:
    hints = field_types(owner)
    for name in record:
        if name not in hints:
            raise InputError(f"{short_repr(name)} is no field of {owner.__name__}{_did_you_mean(str(name), hints)}")
    values = {name: _convert(hints[name], value) for name, value in record.items()}
    return owner(**values)


def _convert(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return _build(hint, value)
    return with_tuples(value)


def _check_resolution(resolution: int, model: str) -> None:
    require(resolution > 0, "resolution", resolution, "above 0")
    patch = patch_size(model)
    if patch is not None:
        right = f"a multiple of {patch}, the patch size of {model}"
        require(resolution % patch == 0, "resolution", resolution, right)


@cache
def _paths(owner: Any) -> tuple[str, ...]:
    """Dotted paths of all fields, those of a part in the part's place."""
    paths: list[str] = []
    for name, hint in field_types(owner).items():
        part: Any = hint
        paths += [f"{name}.{path}" for path in _paths(part)] if is_dataclass(hint) else [name]
    return tuple(paths)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the paths that a wrong one is close to, whole or in the field's own name (`lr`), else all there are."""
    known = list(known)
    own = {path: path.rpartition(".")[2] for path in known}
    close_own = difflib.get_close_matches(name.rpartition(".")[2], own.values(), n=3, cutoff=0.75)
    by_own_name = [path for path in known if own[path] in close_own]
    whole = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    close = whole or by_own_name if "." in name else by_own_name or whole
    return f"; did you mean {', '.join(close)}?" if close else f"; fields are {', '.join(known)}"
