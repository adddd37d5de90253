"""The frozen config of one trial, with its defaults.

    config = FineTuneConfig(dataset="digits", steps=60)
    config.with_values({"optimizer.lr": 0.1, "seed": 1})     # another config, validated again

Every value is validated when the config is built: an invalid trial fails where it is written. Nothing here imports
torch, so that thousands of trials are planned in an instant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from operator import attrgetter
from typing import Any, Literal

from revit.datasets.registry import check_dataset
from revit.errors import InputError
from revit.fields import did_you_mean, field_paths
from revit.models.architectures import MODELS, patch_size
from revit.validation import check_types, field_types, require, short_repr, with_tuples


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network, its initialization and its dropout.

    Attributes:
        name: a key of `revit.models.architectures.MODELS`, or the name of any timm classification model.
        pretrained: load pretrained weights; False for random initialization.
        weights: file or folder of the weights; None to look it up by the model's name. The identity of a trial has
            the digest of its content, not its path.
        pos_embed: position embedding: `learned`, as the model has it, or `none`, zero and frozen.
        pos_embed_resize: how position embeddings are interpolated to another resolution, once, at load: `timm`
            (bicubic, antialiased), `jax` (bilinear, corners aligned) or `hf` (bicubic).
        head_init: initialization of the new linear head; `zeros` as in ViT (Appendix B.1.1), `torch` for PyTorch's
            default.
        dropout: probability after every dense layer and after the position embedding.
        attn_dropout: probability on attention weights; ViT only.
        head_dropout: probability on the input of the head.
        attn_out_proj: attention ends in its linear output projection; False for an untrained ViT only.
        embed_std: standard deviation of the initial position and class embedding of an untrained ViT; None for
            timm's (.02 and 1e-6).
        linear_init: initialization of the linear layers of an untrained ViT, except the head: `timm` (truncated
            normal, .02) or `torch` (uniform up to 1 / sqrt(inputs), bias included).
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
        has_weights = self.weights is not None or self.name not in MODELS or MODELS[self.name].pretrained
        right = f"False: {self.name} has no pretrained weights"
        require(has_weights or not self.pretrained, "model.pretrained", self.pretrained, right)
        right = "None: the model is not pretrained"
        require(self.pretrained or self.weights is None, "model.weights", self.weights, right)
        changed = not self.attn_out_proj or self.embed_std is not None or self.linear_init != "timm"
        right = "False where attn_out_proj, embed_std or linear_init differ from the pretrained model"
        require(not (self.pretrained and changed), "model.pretrained", self.pretrained, right)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer hyperparameters.

    Attributes:
        name: a key of `revit.training.optimizers.OPTIMIZERS`.
        lr: peak learning rate; the schedule multiplies it.
        momentum: of SGD; Adam keeps PyTorch's betas, .9 and .999.
        weight_decay: on matrices only, not on biases, norms, class token or position embedding.
        max_grad_norm: global L2 norm to which gradients are clipped; None for no clipping.
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
    """Learning rate schedule, as a factor of `optimizer.lr`.

    Attributes:
        name: a key of `revit.training.schedules.SCHEDULES`.
        update: move the rate at every `step`, or at every `epoch` to the value of its first step.
        warmup_steps: optimizer steps of linear warmup, before the schedule.
        t_max: optimizer steps in which `cosine` falls from its peak to zero, as T_max of PyTorch's
            CosineAnnealingLR; it then rises and falls again. None for all steps.
        milestones: fractions of all steps, warmup included, after each of which `multistep` divides the rate by ten.
        end_factor: factor that `exponential` reaches after the last step, as end_factor of PyTorch's LinearLR.
        plateau_factor: factor by which `plateau` multiplies the rate after more than `plateau_patience` evaluations
            without a lower validation loss.
        plateau_patience: evaluations without a lower validation loss that `plateau` tolerates.
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
        increasing = all(0 < each < 1 for each in self.milestones) and list(self.milestones) == sorted(self.milestones)
        require(increasing, "schedule.milestones", self.milestones, "increasing fractions between 0 and 1")
        require(0 < self.end_factor <= 1, "schedule.end_factor", self.end_factor, "above 0 and at most 1")
        require(0 < self.plateau_factor < 1, "schedule.plateau_factor", self.plateau_factor, "between 0 and 1")
        require(self.plateau_patience >= 0, "schedule.plateau_patience", self.plateau_patience, "at least 0")


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """Everything that one trial trains with.

    Attributes:
        dataset: a key of `revit.datasets.registry.DATASETS`, or `folder:PATH`.
        resolution: side of the square input images, in pixels.
        data_fraction: fraction of the training images used; nested and stratified.
        subset_seed: draws the images of a fraction; independent of `seed`.
        val_fraction: fraction of the training split held out for validation, stratified.
        train_crop: `random_resized` (Inception crop); `resized` (resize without keeping the aspect ratio to
            `resize_factor` times the resolution, random crop); `padded` (resize to the resolution, pad with black,
            random crop); `none` (resize only, as for evaluation).
        crop_scale: smallest and largest area of a `random_resized` crop, as fractions of the image.
        resize_factor: side to which `resized` resizes, in multiples of the resolution.
        crop_padding: width of the padding of `padded`, in pixels.
        hflip: flip training images horizontally with probability .5.
        mixup: alpha of mixup's Beta distribution, drawn once per batch (Zhang et al. 2018, arXiv:1710.09412); 0 for
            none.
        normalization: mean and standard deviation of the pixels: `model`, those that the model was trained with;
            `inception`, .5 and .5, which gives [-1, 1]; `imagenet` or `cifar10`, those of that dataset's channels.
        sampling: order of an epoch's images: `shuffled`, each once; or drawn `with_replacement`.
        steps, epochs: budget: exactly one is given, the other is None. The last batch of an epoch may be smaller.
        epoch_images: images that an epoch of the budget counts: those `used`, or `all` before `data_fraction`, so
            that every fraction is trained for the same number of steps.
        batch_size: effective batch size, in images.
        micro_batch: images per forward pass, accumulated to `batch_size`; None for all at once. Changes memory and
            time. The gradient stays the same (with dropout, in expectation): it is not part of a trial's identity.
        num_evals: evaluations per run on the validation split, evenly spaced, the last one after the last step.
        test_curve: evaluate on the test split, too, at each of them; for plots beside published curves, never for
            selection.
        selection: weights that are tested: the `last`, or those with the best validation accuracy (`best_val`).
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
        require(self.resolution > 0, "resolution", self.resolution, "above 0")
        patch = patch_size(self.model.name) or 1
        right = f"a multiple of {patch}, the patch size of {self.model.name}"
        require(self.resolution % patch == 0, "resolution", self.resolution, right)
        require(0 < self.data_fraction <= 1, "data_fraction", self.data_fraction, "above 0 and at most 1")
        require(0 <= self.val_fraction < 1, "val_fraction", self.val_fraction, "at least 0 and below 1")
        smallest, largest = self.crop_scale
        require(0 < smallest <= largest <= 1, "crop_scale", self.crop_scale, "0 < smallest <= largest <= 1")
        require(self.resize_factor >= 1, "resize_factor", self.resize_factor, "at least 1")
        require(self.mixup >= 0, "mixup", self.mixup, "at least 0")
        require(self.crop_padding >= 0, "crop_padding", self.crop_padding, "at least 0")
        budget = (self.steps, self.epochs)
        require(budget.count(None) == 1, "steps, epochs", budget, "exactly one of them")
        for name in ("steps", "epochs", "batch_size", "micro_batch", "num_evals"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "above 0")
        for name in ("seed", "subset_seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        if self.val_fraction == 0:
            needs_val = self.schedule.name == "plateau" or self.selection == "best_val"
            require(not needs_val, "val_fraction", 0, "above 0: plateau and best_val need validation images")

    def with_values(self, values: Mapping[str, object]) -> "FineTuneConfig":
        """Return the config with some fields changed, named by dotted path (`optimizer.lr`).

        Raises:
            InputError: an unknown path (the message names close ones), or an invalid value.
        """
        own, parts = _group_by_part(type(self), values)
        return replace(self, **own, **{part: replace(getattr(self, part), **new) for part, new in parts.items()})

    def flat(self) -> dict[str, Any]:
        """Return every value by its dotted path, in the order of the fields."""
        owner: Any = type(self)
        return {path: attrgetter(path)(self) for path in field_paths(owner)}

    def num_steps(self, num_used: int, num_all: int) -> int:
        """Return the optimizer steps of the budget.

        An epoch is ceil(images / batch_size) steps, as with a DataLoader that keeps its last batch.

        Args:
            num_used: training images of the trial.
            num_all: training images before `data_fraction`.
        """
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        num_images = {"used": num_used, "all": num_all}[self.epoch_images]
        return max(1, round(self.epochs * steps_per_epoch(num_images, self.batch_size)))


def steps_per_epoch(num_train: int, batch_size: int) -> int:
    """Return the batches that cover `num_train` images once; the last one may be smaller."""
    return -(-num_train // batch_size)


def from_dict(record: Mapping[str, Any]) -> FineTuneConfig:
    """Build a config from the nested dict that `dataclasses.asdict` or JSON made of it.

    Raises:
        InputError: not a dict, an unknown field, no dataset, or an invalid value.
    """
    if not isinstance(record, Mapping):
        raise InputError(f"{short_repr(record)} is not a config: must be a dict of its fields")
    if "dataset" not in record:
        raise InputError("the config has no dataset")
    types = field_types(FineTuneConfig)
    values: dict[str, object] = {}
    for name, value in record.items():
        is_part = isinstance(value, Mapping) and is_dataclass(types.get(name))
        values |= {f"{name}.{key}": each for key, each in value.items()} if is_part else {name: value}
    own, parts = _group_by_part(FineTuneConfig, values)
    return FineTuneConfig(**own, **{part: types[part](**new) for part, new in parts.items()})


def _group_by_part(owner: Any, values: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return values by dotted path as keyword arguments: the config's own, and those of each part."""
    paths = field_paths(owner)
    parts: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        if path not in paths:
            raise InputError(f"{short_repr(path)} is not a config field{did_you_mean(str(path), paths)}")
        part, _, name = path.rpartition(".")
        parts.setdefault(part, {})[name] = with_tuples(value)
    return parts.pop("", {}), parts
