"""Words for the config fields of trials: their titles, their values as a paper states them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


def short(value: object) -> str:
    """Return a value, a number with at most six digits: `0.348678`."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Words(NamedTuple):
    """Words for a field.

    Attributes:
        title: its name in a sentence or a table.
        values: texts of some of its values, or a function of a value that returns its text.
        pattern: its place in a sentence, {} for the text of its value; empty for the title and the text.
    """

    title: str
    values: Mapping[Any, str] | Callable[[Any], str] = short
    pattern: str = ""

    def text(self, value: Any) -> str:
        """Return the text of a value."""
        if isinstance(self.values, Mapping):
            return self.values.get(value, short(value))
        return self.values(value)

    def phrase(self, texts: str) -> str:
        """Return the words of a sentence for the text of a value, or of several."""
        return (self.pattern or f"{self.title} {{}}").format(texts)


def percent(share: float) -> str:
    """Return a share in percent: `10 %`."""
    return f"{short(100 * share)} %"


def pixels(side: int) -> str:
    """Return a side of an image: `28 px`."""
    return f"{side} px"


def _numbers(values: tuple[float, ...] | None) -> str:
    return "the optimizer's own" if values is None else ", ".join(map(short, values))


def _own(value: float | None) -> str:
    return "the optimizer's own" if value is None else short(value)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def _or_none(value: object) -> str:
    return "none" if value is None or value == 0 else short(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _steps(value: float | str | None) -> str:
    """Return a duration: a number is of optimizer steps."""
    if value is None or value == 0:
        return "none"
    return str(value) if isinstance(value, str) else f"{value:,g} optimizer steps"


def _crop_area(scale: tuple[float, float]) -> str:
    return f"{short(100 * scale[0])} to {percent(scale[1])}"


def _frozen(part: str) -> str:
    texts = {"none": "nothing", "embedding": "the patch, position and class embedding"}
    return texts.get(part, f"the embedding and the first {part.removeprefix('first_')} blocks")


OPTIMIZER_TITLES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
WORDS: Mapping[str, Words] = {
    "dataset": Words("dataset", pattern="{}"),
    "resolution": Words("resolution", pixels, pattern="{}"),
    "data_fraction": Words("fraction of the training images", percent, pattern="{} of the other training images"),
    "subset_seed": Words("seed of the subset of training images", pattern="a stratified subset drawn with seed {}"),
    "val_fraction": Words(
        "fraction held out for validation",
        percent,
        pattern="{} of the training images for validation, stratified by class",
    ),
    "train_crop": Words(
        "cropping of training images",
        {
            "random_resized": "random resized crops",
            "resized": "resizing without keeping the aspect ratio, then random crops",
            "padded": "padding with black, then random crops",
            "none": "no crops",
        },
        pattern="{}",
    ),
    "crop_scale": Words("area of a crop", _crop_area, pattern="crops of {} of the area of an image"),
    "resize_factor": Words(
        "side before cropping, in multiples of the resolution", pattern="resizing to {} times the resolution"
    ),
    "crop_padding": Words("padding before cropping", pixels, pattern="padding of {}"),
    "hflip": Words(
        "horizontal flips",
        {True: "horizontal flips with probability 0.5", False: "no horizontal flips"},
        pattern="{}",
    ),
    "mixup": Words("mixup alpha", _or_none, pattern="mixup with alpha {}"),
    "cutmix": Words("CutMix alpha", _or_none, pattern="CutMix with alpha {}"),
    "augmentation": Words(
        "augmentation", {"randaugment": "RandAugment", "trivialaugment": "TrivialAugment", "none": "none"}, pattern="{}"
    ),
    "randaugment_num_ops": Words("RandAugment operations per image", pattern="RandAugment of {} operations per image"),
    "randaugment_magnitude": Words("RandAugment magnitude", pattern="RandAugment of magnitude {}"),
    "random_erasing": Words("random erasing with probability", _or_none, pattern="random erasing with probability {}"),
    "loss": Words("loss", {"cross_entropy": "cross-entropy"}, pattern="{}"),
    "label_smoothing": Words("label smoothing", _or_none, pattern="label smoothing of {}"),
    "ema_decay": Words(
        "decay of the moving average of weights, which is what is tested",
        _or_none,
        pattern="an exponential moving average of the weights with decay {}, which is what is tested",
    ),
    "normalization": Words(
        "normalization of pixels",
        {
            "model": "mean and standard deviation of the model's pretraining",
            "inception": "mean and standard deviation 0.5",
            "imagenet": "mean and standard deviation of ImageNet",
            "cifar10": "mean and standard deviation of CIFAR-10",
        },
        pattern="{}",
    ),
    "sampling": Words(
        "order of the images",
        {"shuffled": "shuffled in each epoch", "with_replacement": "drawn with replacement"},
        pattern="images {}",
    ),
    "model.name": Words("model", pattern="{}"),
    "model.pretrained": Words(
        "initialization", {True: "pretrained weights", False: "random initialization"}, pattern="{}"
    ),
    "model.weights": Words("file of the pretrained weights", _or_none, pattern="weights from {}"),
    "model.pos_embed": Words(
        "position embedding",
        {"learned": "as the model has it", "none": "zero and not trained"},
        pattern="the position embedding {}",
    ),
    "model.pos_embed_resize": Words(
        "interpolation of position embeddings",
        {
            "timm": "bicubic interpolation with antialiasing, as in timm",
            "jax": "bilinear interpolation with aligned corners, as in ViT's JAX code",
            "hf": "bicubic interpolation, as in Hugging Face's code",
        },
        pattern="position embeddings resized by {}",
    ),
    "model.head_init": Words(
        "initialization of the head",
        {
            "zeros": "zeros",
            "trunc_normal": "truncated normal",
            "normal": "normal",
            "torch": "PyTorch's default",
            "probed": "a linear probe of the training images",
        },
        pattern="the new head initialized by {}",
    ),
    "model.dropout": Words("dropout", _or_none, pattern="dropout of {}"),
    "model.attn_dropout": Words("attention dropout", _or_none, pattern="attention dropout of {}"),
    "model.head_dropout": Words("dropout before the head", _or_none, pattern="dropout of {} before the head"),
    "model.attn_out_proj": Words(
        "output projection of attention",
        {True: "attention with its output projection", False: "attention without its output projection"},
        pattern="{}",
    ),
    "model.embed_std": Words(
        "standard deviation of initial embeddings", lambda value: "timm's" if value is None else f"{value:g}"
    ),
    "model.linear_init": Words(
        "initialization of linear layers",
        {"timm": "a truncated normal, as in timm", "torch": "PyTorch's default, uniform"},
    ),
    "model.drop_path": Words("stochastic depth rate", _or_none, pattern="stochastic depth of rate {}"),
    "model.trained": Words(
        "trained part",
        {
            "all": "all weights",
            "head": "the head only",
            "attention": "the attention layers and the head",
            "mlp": "the MLP layers and the head",
            "norms": "the normalization layers and the head",
            "biases": "the biases and the head",
        },
        pattern="{}",
    ),
    "model.frozen": Words("frozen part", _frozen, pattern="{} frozen"),
    "model.adapter": Words(
        "adapter", {"none": "none", "lora": "LoRA", "dora": "DoRA", "ia3": "IA3"}, pattern="by {} adapters"
    ),
    "model.adapter_rank": Words("adapter rank", pattern="rank {}"),
    "model.adapter_alpha": Words("adapter alpha", pattern="alpha {}"),
    "optimizer.name": Words("optimizer", OPTIMIZER_TITLES, pattern="{}"),
    "optimizer.lr": Words("learning rate", pattern="a learning rate of {}"),
    "optimizer.momentum": Words("momentum", pattern="a momentum of {}"),
    "optimizer.betas": Words("betas", _numbers),
    "optimizer.eps": Words("epsilon", _own),
    "optimizer.weight_decay": Words("weight decay", _or_none, pattern="a weight decay of {}"),
    "optimizer.layer_decay": Words(
        "layer-wise decay of the learning rate", pattern="a layer-wise decay of the learning rate of {}"
    ),
    "optimizer.max_grad_norm": Words(
        "gradient clipping at L2 norm", _or_none, pattern="gradients clipped to an L2 norm of {}"
    ),
    "schedule.name": Words("schedule of the learning rate", pattern="a {} schedule"),
    "schedule.update": Words(
        "update of the learning rate", {"step": "at each step", "epoch": "at each epoch"}, pattern="an update {}"
    ),
    "schedule.warmup": Words("linear warmup", _steps, pattern="linear warmup over {}"),
    "schedule.t_max": Words(
        "cosine half period",
        lambda value: "all steps" if value is None else _steps(value),
        pattern="a half period of {}",
    ),
    "schedule.milestones": Words(
        "decay by 10 after fractions of the steps",
        _numbers,
        pattern="division by 10 after these fractions of the steps: {}",
    ),
    "schedule.end_factor": Words("factor of the learning rate at the end", pattern="a factor of {} at the end"),
    "schedule.plateau_factor": Words("factor of the learning rate at a plateau", pattern="a factor of {} at a plateau"),
    "schedule.plateau_patience": Words(
        "evaluations that a plateau may last",
        pattern="a plateau after more than {} evaluations without a lower validation loss",
    ),
    "steps": Words("optimizer steps", lambda value: f"{value:,}", pattern="{} optimizer steps"),
    "epochs": Words("epochs", pattern="{} epochs"),
    "epoch_images": Words(
        "images that an epoch counts",
        {"used": "the images used", "all": "all images before the fraction is taken"},
        pattern="epochs that count {}",
    ),
    "batch_size": Words("batch size", pattern="a batch size of {}"),
    "micro_batch": Words(
        "images per forward pass",
        lambda value: "the whole batch" if value is None else str(value),
        pattern="gradients accumulated over {} images per forward pass",
    ),
    "num_evals": Words("evaluations on validation images", pattern="{} evaluations on the validation images"),
    "eval_every": Words(
        "time between evaluations", _steps, pattern="evaluations on the validation images, one every {}"
    ),
    "test_curve": Words(
        "evaluation on test images while training, for plots only",
        _yes,
        pattern="as many on the test images, for plots only: {}",
    ),
    "test": Words("test at the end", _yes),
    "test_sets": Words("further test sets", _names, pattern="the test images of {}"),
    "selection": Words(
        "tested weights",
        {
            "last": "those after the last step",
            "best_val": "those with the best validation accuracy (early stopping)",
        },
        pattern="{}",
    ),
    "seed": Words("seeds"),
}
"""Words for each field of FineTuneConfig."""
