"""The frozen config of one trial, with its defaults.

    config = FineTuneConfig(dataset="digits", steps=60)
    config.with_values({"optimizer.lr": 0.1, "seed": 1})     # another config, validated again

Every value is validated when the config is built: an invalid trial fails where it is written. Nothing here imports
torch, so that thousands of trials are planned in an instant.

Each field declares its part in the identity of a trial beside its default: `neutral`, `always`, `derived` or
`without_effect` (see `revit.fields`).
"""

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Annotated, Any, Literal

from revit.datasets.augmentations import AUGMENTATIONS
from revit.datasets.registry import check_dataset, check_test_sets
from revit.durations import check_duration
from revit.errors import InputError, UnknownFieldError
from revit.fields import always, derived, did_you_mean, fields_by_path, neutral, values_getter, without_effect
from revit.functions import is_import_path
from revit.models.architectures import MODELS, patch_size
from revit.training.losses import LOSSES
from revit.validation import KeyOrFunction, check_types, field_types, require, short_repr, with_tuples

MAX_MAGNITUDE = 30
"""Largest `randaugment_magnitude`; torchvision has 31 magnitudes."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network, its initialization and its dropout.

    Attributes:
        name: a key of `revit.models.architectures.MODELS`, the name of any timm classification model, or the import
            path of a function (`package.module:function`, see `revit.models.networks`).
        pretrained: load pretrained weights; False for random initialization.
        weights: file or folder of the weights; None to look it up by the model's name. The identity of a trial has
            the digest of its content, not its path.
        pos_embed: position embedding: `learned`, as the model has it, or `none`, zero and frozen.
        pos_embed_resize: how position embeddings are interpolated to another resolution, once, at load: `timm`
            (bicubic, antialiased), `jax` (bilinear, corners aligned) or `hf` (bicubic).
        head_init: initialization of the new linear head; `zeros` as in ViT (Appendix B.1.1), `torch` for PyTorch's
            default, `probed` for a linear probe of the training images, from which LP-FT starts (Kumar et al. 2022,
            arXiv:2202.10054; `revit.training.head_probe`).
        dropout: probability after every dense layer and after the position embedding.
        attn_dropout: probability on attention weights; ViT only.
        head_dropout: probability on the input of the head.
        attn_out_proj: attention ends in its linear output projection; False for an untrained ViT only.
        embed_std: standard deviation of the initial position and class embedding of an untrained ViT; None for
            timm's (.02 and 1e-6).
        linear_init: initialization of the linear layers of an untrained ViT, except the head: `timm` (truncated
            normal, .02) or `torch` (uniform up to 1 / sqrt(inputs), bias included).
        drop_path: largest rate of stochastic depth (Huang et al. 2016, arXiv:1603.09382), timm's `drop_path_rate`; it
            grows linearly with depth.
        trained: part of the network that is trained, beside the head: `all`, `head` (nothing else), `attention` or
            `mlp` (these layers of every block; Touvron et al. 2022, arXiv:2203.09795), `norms`, or `biases` (Ben Zaken
            et al. 2022, arXiv:2106.10199).
        frozen: part that stays as it is: `none`, `embedding` (patch, position and class embedding; Kumar et al. 2024,
            arXiv:2211.09359), or `first_N` (the embedding and the first N blocks).
        adapter: how the linear layers of the `trained` part are trained: `none` for in full; `lora` (Hu et al. 2022,
            arXiv:2106.09685), `dora` (Liu et al. 2024, arXiv:2402.09353) or `ia3` (Liu et al. 2022, arXiv:2205.05638)
            for an adapter beside each, with all else but the head frozen.
        adapter_rank: rank of `lora` and `dora`.
        adapter_alpha: the output of `lora` and `dora` is scaled by `adapter_alpha` / `adapter_rank`.
    """

    name: str = derived("vit_nano")
    pretrained: bool = derived(True)
    weights: str | None = derived(None)
    pos_embed: Literal["learned", "none"] = neutral("learned")
    pos_embed_resize: Literal["timm", "jax", "hf"] = neutral("timm")
    head_init: Literal["zeros", "trunc_normal", "normal", "torch", "probed"] = neutral("zeros")
    dropout: float = neutral(0.0)
    attn_dropout: float = neutral(0.0)
    head_dropout: float = neutral(0.0)
    attn_out_proj: bool = neutral(True)
    embed_std: float | None = neutral(None)
    linear_init: Literal["timm", "torch"] = neutral("timm")
    drop_path: float = neutral(0.0)
    trained: Literal["all", "head", "attention", "mlp", "norms", "biases"] = neutral("all")
    frozen: str = neutral("none")
    adapter: Literal["none", "lora", "dora", "ia3"] = neutral("none")
    adapter_rank: int = always(8)
    adapter_alpha: float = always(16.0)

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("dropout", "attn_dropout", "head_dropout", "drop_path"):
            require(0 <= getattr(self, name) < 1, f"model.{name}", getattr(self, name), "at least 0 and below 1")
        require(self.embed_std is None or self.embed_std > 0, "model.embed_std", self.embed_std, "above 0, or None")
        has_weights = self.weights is not None or _states_weights(self.name)
        right = f"False: {self.name} has no pretrained weights"
        require(has_weights or not self.pretrained, "model.pretrained", self.pretrained, right)
        right = "None: the model is not pretrained"
        require(self.pretrained or self.weights is None, "model.weights", self.weights, right)
        changed = not self.attn_out_proj or self.embed_std is not None or self.linear_init != "timm"
        right = "False where attn_out_proj, embed_std or linear_init differ from the pretrained model"
        require(not (self.pretrained and changed), "model.pretrained", self.pretrained, right)
        is_part = re.fullmatch("none|embedding|first_[1-9][0-9]{0,3}", self.frozen) is not None
        require(is_part, "model.frozen", self.frozen, "none, embedding, or first_N with N blocks")
        has_layers = self.adapter == "none" or self.trained in ("all", "attention", "mlp")
        right = f"none: an adapter needs linear layers, and trained is {self.trained}"
        require(has_layers, "model.adapter", self.adapter, right)
        require(self.adapter_rank > 0, "model.adapter_rank", self.adapter_rank, "above 0")
        require(self.adapter_alpha > 0, "model.adapter_alpha", self.adapter_alpha, "above 0")


def _states_weights(name: str) -> bool:
    """Return whether a model has pretrained weights of its own; those of a function of the user have to be named."""
    return MODELS[name].pretrained if name in MODELS else not is_import_path(name)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer hyperparameters.

    Attributes:
        name: a key of `revit.training.optimizer_specs.OPTIMIZERS`, the name of an optimizer of timm
            (`timm.optim.list_optimizers`), or the import path of a function (see `revit.training.optimizers`).
        lr: peak learning rate; the schedule multiplies it.
        momentum: of the optimizers that have it; without effect on others, as Adam, which has betas.
        betas: of the optimizers that have as many, two or three; None for the optimizer's own.
        eps: of the optimizers that have it; None for the optimizer's own.
        weight_decay: on matrices only, not on biases, norms, class token or position embedding.
        layer_decay: factor of the learning rate from each layer to the one before it; 1 for the same rate everywhere
            (Clark et al. 2020, arXiv:2003.10555). Of a ViT, the layers are the embedding, the blocks and the head,
            which has the full rate.
        max_grad_norm: global L2 norm to which gradients are clipped; None for no clipping.
    """

    name: str = always("sgd")
    lr: float = always(0.03)
    momentum: float = neutral(0.0, default=0.9)
    betas: tuple[float, ...] | None = neutral(None)
    eps: float | None = neutral(None)
    weight_decay: float = neutral(0.0)
    layer_decay: float = neutral(1.0)
    max_grad_norm: float | None = neutral(None, default=1.0)

    def __post_init__(self) -> None:
        check_types(self)
        require(self.lr > 0, "optimizer.lr", self.lr, "above 0")
        require(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "at least 0 and below 1")
        are_betas = self.betas is None or (len(self.betas) in (2, 3) and all(0 <= beta < 1 for beta in self.betas))
        require(are_betas, "optimizer.betas", self.betas, "two or three numbers, at least 0 and below 1, or None")
        require(self.eps is None or self.eps > 0, "optimizer.eps", self.eps, "above 0, or None")
        require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "at least 0")
        require(0 < self.layer_decay <= 1, "optimizer.layer_decay", self.layer_decay, "above 0 and at most 1")
        norm = self.max_grad_norm
        require(norm is None or norm > 0, "optimizer.max_grad_norm", norm, "above 0, or None")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Learning rate schedule, as a factor of `optimizer.lr`.

    Attributes:
        name: a key of `revit.training.schedules.SCHEDULES`.
        update: move the rate at every `step`, or at every `epoch` to the value of its first step.
        warmup: linear warmup before the schedule: optimizer steps, or a duration such as "2 epochs", "50000 images"
            or "5 percent" of all steps (see `revit.durations`).
        t_max: optimizer steps in which `cosine` falls from its peak to zero, as T_max of PyTorch's
            CosineAnnealingLR; it then rises and falls again. None for all steps.
        milestones: fractions of all steps, warmup included, after each of which `multistep` divides the rate by ten.
        end_factor: factor that `exponential` reaches after the last step, as end_factor of PyTorch's LinearLR.
        plateau_factor: factor by which `plateau` multiplies the rate after more than `plateau_patience` evaluations
            without a lower validation loss.
        plateau_patience: evaluations without a lower validation loss that `plateau` tolerates.
    """

    name: Literal["cosine", "linear", "exponential", "multistep", "plateau", "constant"] = always("cosine")
    update: Literal["step", "epoch"] = neutral("step")
    warmup: int | str = derived(0)
    t_max: float | None = neutral(None)
    milestones: tuple[float, ...] = always((0.3, 0.6, 0.9))
    end_factor: float = always(0.01)
    plateau_factor: float = always(0.5)
    plateau_patience: int = always(1)

    def __post_init__(self) -> None:
        check_types(self)
        check_duration("schedule.warmup", self.warmup)
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
        dataset: a name from docs/datasets.md, or `folder:PATH` for images of your own.
        resolution: side of the square input images, in pixels.
        data_fraction: fraction of the training images used, of those that `val_fraction` leaves; nested and
            stratified. With `val_fraction=0` it is of the whole training split: more images, and another subset.
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
        cutmix: alpha of CutMix's Beta distribution, drawn once per batch (Yun et al. 2019, arXiv:1905.04899); 0 for
            none. With mixup, each batch gets one of them, with equal probability.
        augmentation: of cropped and flipped training images: a key of `revit.datasets.augmentations.AUGMENTATIONS`, or
            the import path of a function (see `revit.functions`) of uint8 images (B, C, R, R) and a NumPy generator,
            from which it must draw all of its random numbers, to images of the same type and shape.
        randaugment_num_ops: operations per image, of `randaugment`.
        randaugment_magnitude: strength of these operations, from 0 to 30.
        random_erasing: probability that a rectangle of a training image is set to zero after normalization (Zhong et
            al. 2017, arXiv:1708.04896); before mixup and CutMix.
        loss: of training: a key of `revit.training.losses.LOSSES`, or the import path of a function (see
            `revit.functions`) of logits (B, K) and smoothed targets (B, K), probabilities, to one loss per image (B,)
            in nats. With mixup and CutMix it is the mean of the losses for both labels, weighted by their shares.
            Validation and test use the cross-entropy.
        label_smoothing: probability that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
        ema_decay: decay per step of the exponential moving average of the weights, which starts at the initial
            weights, without warmup; it is evaluated, selected and tested in their place. 0 for none.
        normalization: mean and standard deviation of the pixels: `model`, those that the model was trained with;
            `inception`, .5 and .5, which gives [-1, 1]; `imagenet` or `cifar10`, those of that dataset's channels.
        sampling: order of an epoch's images: `shuffled`, each once; or drawn `with_replacement`.
        steps: budget in optimizer steps; None if `epochs` is given.
        epochs: budget in epochs; None if `steps` is given. The last batch of an epoch may be smaller.
        epoch_images: images that an epoch of the budget counts: those `used`, or `all` before `data_fraction`, so
            that every fraction is trained for the same number of steps.
        batch_size: effective batch size, in images.
        micro_batch: images per forward pass, accumulated to `batch_size`; None for all at once. Changes memory and
            time. The gradient stays the same (with dropout, in expectation): it is not part of a trial's identity.
        num_evals: evaluations per run on the validation split, evenly spaced, the last one after the last step.
        eval_every: optimizer steps between evaluations, or a duration such as "1 epoch" (see `revit.durations`), in
            the place of `num_evals`; the last evaluation is after the last step, too.
        test_curve: evaluate on the test split, too, at each of them; for plots beside published curves, never for
            selection.
        test: evaluate on the test split after the last step; False for the trials of a search, which never read it.
        test_sets: further datasets with the same classes, on whose test images the trained model is tested, too:
            names, or `folder:PATH`. The values are `accuracy@NAME` and so on, beside those of the own test split.
        selection: weights that are tested: the `last`, or those with the best validation accuracy (`best_val`).
        seed: of initialization, data order, augmentation and dropout.
    """

    dataset: str = derived()
    resolution: int = always(28)
    data_fraction: float = derived(1.0)
    subset_seed: int = derived(0)
    val_fraction: float = derived(0.1)
    train_crop: Literal["random_resized", "resized", "padded", "none"] = neutral("none", default="random_resized")
    crop_scale: tuple[float, float] = always((0.08, 1.0))
    resize_factor: float = always(1.25)
    crop_padding: int = always(2)
    hflip: bool = neutral(False, default=True)
    mixup: float = neutral(0.0)
    cutmix: float = neutral(0.0)
    augmentation: Annotated[str, KeyOrFunction(AUGMENTATIONS)] = neutral("none")
    randaugment_num_ops: int = always(2)
    randaugment_magnitude: int = always(9)
    random_erasing: float = neutral(0.0)
    loss: Annotated[str, KeyOrFunction(LOSSES)] = neutral("cross_entropy")
    label_smoothing: float = neutral(0.0)
    ema_decay: float = neutral(0.0)
    normalization: Literal["model", "inception", "imagenet", "cifar10"] = derived("model")
    sampling: Literal["shuffled", "with_replacement"] = neutral("shuffled")
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    steps: int | None = derived(None)
    epochs: float | None = derived(None)
    epoch_images: Literal["used", "all"] = derived("used")
    batch_size: int = always(128)
    micro_batch: int | None = without_effect(None)
    num_evals: int = derived(5)
    eval_every: int | str | None = derived(None)
    test_curve: bool = neutral(False)
    test: bool = neutral(True)
    test_sets: tuple[str, ...] = neutral(())
    selection: Literal["last", "best_val"] = neutral("last")
    seed: int = always(0)

    def __post_init__(self) -> None:
        check_types(self)
        check_dataset(self.dataset)
        check_test_sets(self.test_sets, self.dataset)
        require(self.resolution > 0, "resolution", self.resolution, "above 0")
        patch = patch_size(self.model.name) or 1
        right = f"a multiple of {patch}, the patch size of {self.model.name}"
        require(self.resolution % patch == 0, "resolution", self.resolution, right)
        require(0 < self.data_fraction <= 1, "data_fraction", self.data_fraction, "above 0 and at most 1")
        smallest, largest = self.crop_scale
        require(0 < smallest <= largest <= 1, "crop_scale", self.crop_scale, "0 < smallest <= largest <= 1")
        require(self.resize_factor >= 1, "resize_factor", self.resize_factor, "at least 1")
        for name in ("mixup", "cutmix", "crop_padding", "seed", "subset_seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("val_fraction", "label_smoothing", "ema_decay"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and below 1")
        require(0 <= self.random_erasing <= 1, "random_erasing", self.random_erasing, "from 0 to 1")
        magnitude = self.randaugment_magnitude
        require(0 <= magnitude <= MAX_MAGNITUDE, "randaugment_magnitude", magnitude, f"from 0 to {MAX_MAGNITUDE}")
        if self.eval_every is not None:
            check_duration("eval_every", self.eval_every)
        is_stated = self.normalization != "model" or not is_import_path(self.model.name)
        right = f"inception, imagenet or cifar10: the function {self.model.name} states no mean and std"
        require(is_stated, "normalization", self.normalization, right)
        budget = (self.steps, self.epochs)
        require(budget.count(None) == 1, "steps, epochs", budget, "exactly one of them")
        for name in ("steps", "epochs", "batch_size", "micro_batch", "num_evals", "randaugment_num_ops"):
            require((value := getattr(self, name)) is None or value > 0, name, value, "above 0")
        require(self.test or not self.test_curve, "test", False, "True: test_curve evaluates on the test split")
        require(self.test or not self.test_sets, "test_sets", self.test_sets, "empty where test is False")
        if self.val_fraction == 0:
            require(self.test, "val_fraction", 0, "above 0: without test, validation images give the only result")
            require(not self.needs_val, "val_fraction", 0, "above 0: plateau and best_val need validation images")

    @property
    def needs_val(self) -> bool:
        """True if training depends on validation images: the schedule is `plateau`, or the best weights are tested."""
        return self.schedule.name == "plateau" or self.selection == "best_val"

    def with_values(self, values: Mapping[str, object]) -> "FineTuneConfig":
        """Return the config with some fields changed, named by dotted path (`optimizer.lr`).

        Raises:
            InputError: an unknown path (the message names close ones), or an invalid value.
        """
        own, parts = _group_by_part(type(self), values)
        return replace(self, **own, **{part: replace(getattr(self, part), **new) for part, new in parts.items()})

    def with_seed(self, seed: int) -> "FineTuneConfig":
        """Return the config with another seed, which alone is checked: a study may have thousands."""
        require(seed >= 0, "seed", seed, "at least 0")
        config = copy(self)
        object.__setattr__(config, "seed", seed)
        return config

    def flat(self) -> dict[str, Any]:
        """Return every value by its dotted path, in the order of the fields."""
        owner: Any = type(self)
        return dict(zip(fields_by_path(owner), values_getter(owner)(self), strict=True))

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
    paths = fields_by_path(owner)
    parts: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        if path not in paths:
            raise UnknownFieldError(f"{short_repr(path)} is not a config field{did_you_mean(str(path), list(paths))}")
        part, _, name = path.rpartition(".")
        parts.setdefault(part, {})[name] = with_tuples(value)
    return parts.pop("", {}), parts
