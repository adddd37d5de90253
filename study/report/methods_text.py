"""Methods section of a paper, written from the facts of a study."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from revit.training.metrics import find_metric
from study.analysis.intervals import intervals_note
from study.analysis.time_used import OTHERS, SEARCHED, TESTED, UNFINISHED, TimeUsed
from study.ledger.schema import PRECISION_TAG, TIMM_TAG, TORCH_TAG
from study.report.forecast_tables import format_seconds
from study.report.methods import DatasetFacts, Methods, ModelFacts, format_span
from study.report.searches import describe_search
from study.report.settings import join


class Sentence(NamedTuple):
    """A sentence on settings.

    Attributes:
        heads: fields that follow its opening.
        details: fields that follow these.
        is_list: it lists its settings after a colon.
    """

    opening: str
    heads: Sequence[str]
    details: Sequence[str] = ()
    is_list: bool = False

    def write(self, phrases: Mapping[str, str]) -> str:
        """Return the sentence; empty where none of its fields is stated.

        Args:
            phrases: words of each stated field.
        """
        heads, details = ([phrases[path] for path in paths if path in phrases] for paths in (self.heads, self.details))
        if not heads and not details:
            return ""
        if self.is_list:
            return f"{self.opening}: {'; '.join([*heads, *details])}."
        rest = f"{', with' if heads else ''} {join(details, 'and')}" if details else ""
        return f"{self.opening}{' ' + join(heads, 'and') if heads else ''}{rest}."


SENTENCES: Mapping[str, Sequence[Sentence]] = {
    "Data": (
        Sentence("We kept", ("val_fraction",)),
        Sentence("Trials trained on", ("data_fraction", "subset_seed")),
        Sentence("Images were resized to squares of", ("resolution",)),
        Sentence("Pixels were normalized by", ("normalization",)),
        Sentence(
            "Training images were augmented as follows",
            ("train_crop", "crop_scale", "resize_factor", "crop_padding", "hflip", "augmentation"),
            ("randaugment_num_ops", "randaugment_magnitude", "random_erasing", "mixup", "cutmix"),
            is_list=True,
        ),
    ),
    "Models": (
        Sentence(
            "Training started from",
            ("model.pretrained",),
            (
                "model.weights",
                "model.head_init",
                "model.pos_embed",
                "model.pos_embed_resize",
                "model.attn_out_proj",
                "model.embed_std",
                "model.linear_init",
            ),
        ),
        Sentence(
            "We trained",
            ("model.trained", "model.adapter"),
            ("model.adapter_rank", "model.adapter_alpha", "model.frozen"),
        ),
    ),
    "Training": (
        Sentence("The training loss was", ("loss",), ("label_smoothing",)),
        Sentence(
            "The optimizer was",
            ("optimizer.name",),
            (
                "optimizer.lr",
                "optimizer.momentum",
                "optimizer.betas",
                "optimizer.eps",
                "optimizer.weight_decay",
                "optimizer.layer_decay",
                "optimizer.max_grad_norm",
                "batch_size",
                "micro_batch",
                "sampling",
            ),
        ),
        Sentence(
            "The learning rate followed",
            ("schedule.name",),
            (
                "schedule.warmup",
                "schedule.t_max",
                "schedule.milestones",
                "schedule.end_factor",
                "schedule.plateau_factor",
                "schedule.plateau_patience",
                "schedule.update",
            ),
        ),
        Sentence("Training lasted", ("steps", "epochs"), ("epoch_images",)),
        Sentence(
            "Regularization was by",
            ("model.dropout", "model.attn_dropout", "model.head_dropout", "model.drop_path", "ema_decay"),
        ),
    ),
    "Evaluation": (
        Sentence("While training there were", ("num_evals", "eval_every", "test_curve")),
        Sentence("The tested weights were", ("selection",), ("test",)),
        Sentence("They were tested on further images, too:", ("test_sets",)),
    ),
}
"""Sentences on settings, by paragraph. Model, dataset and seeds have sentences of their own."""


def methods_text(methods: Methods) -> dict[str, str]:
    """Return the paragraphs of a methods section, by their headings."""
    phrases = {each.path: each.phrase for each in methods.settings}
    stated = {heading: [each.write(phrases) for each in sentences] for heading, sentences in SENTENCES.items()}
    paragraphs = {
        "Data": [_datasets(methods.datasets), *stated["Data"]],
        "Models": [*map(_model, methods.models), *stated["Models"]],
        "Training": stated["Training"],
        "Search": [f"{each.rstrip('.')}." for each in describe_search(methods.plan)]
        if methods.plan.space.is_searched
        else [],
        "Evaluation": [*stated["Evaluation"], *_evaluation(methods)],
        "Computation": [*_time(methods.times), *_software(methods), *_code(methods)],
    }
    joined = {heading: " ".join(filter(None, sentences)) for heading, sentences in paragraphs.items()}
    return {heading: text for heading, text in joined.items() if text}


def _datasets(datasets: Sequence[DatasetFacts]) -> str:
    """Return sentences on the datasets: numbers of images, sources, caveats."""
    texts = []
    for each in datasets:
        classes = [] if each.num_classes is None else [f"{each.num_classes} classes"]
        val = [] if each.num_val in (None, (0, 0)) else [f"{format_span(each.num_val)} validation"]
        images = join([f"{format_span(each.num_train)} training", *val, f"{each.num_test:,} test"], "and")
        texts.append(f"{each.title} ({'; '.join([*classes, f'{images} images', each.source])})")
    caveats = [f"{each.title}: {each.caveat}." for each in datasets if each.caveat]
    return " ".join([f"The data {'were' if len(texts) > 1 else 'was'} {join(texts, 'and')}.", *caveats])


def _model(model: ModelFacts) -> str:
    """Return a sentence on a model: what it is, and where its weights come from."""
    verb = "fine-tuned" if model.is_pretrained else "trained from random initialization"
    size = [] if model.num_params is None else [f"{model.num_params:,} parameters with a head of 10 classes"]
    trained = [] if model.num_trained is None else [f"{format_span(model.num_trained)} trained"]
    title = [] if model.title == model.name else [model.title]
    facts = "; ".join([*title, *size, *trained, model.source])
    return f"We {verb} {model.name} ({facts})."


def _evaluation(methods: Methods) -> list[str]:
    """Return sentences on cells, seeds, metric and statistics."""
    plan, metric = methods.plan, find_metric(methods.plan.space.metric)
    once = " Each was tested once, after training." if metric.of_predictions else ""
    sentences = [
        f"Each of {methods.num_cells} cells (settings) was trained with {_seeds(methods)}: {len(plan.trials)} trials, "
        f"of which {methods.num_finished} finished. A seed sets the new weights, the order of the images and the "
        f"augmentation.{once}",
        f"The metric is the {metric.name}. {intervals_note(metric)}",
    ]
    if plan.space.claims:
        images = " and test images" if metric.of_predictions else ""
        sentences.append(
            f"Claims were tested two-sided at 5 % over seeds{images}, with trials of one seed paired and Holm's "
            f"correction over the {len(plan.space.claims)} claims of the study."
        )
    if plan.design is not None:
        sentences.append(
            f"Further seeds went only to cells of claims that were not decided: {plan.design}, which add up to "
            f"{100 * plan.design.level:g} % ({plan.design.spending} spending, registered before the first look)."
        )
    return sentences


def _seeds(methods: Methods) -> str:
    """Return the seeds of the cells: `the seeds 0, 1, 2`, or `3 to 10 seeds`."""
    cells = Counter(tuple(trial.candidate.requested_values.values()) for trial in methods.plan.trials)
    if len(set(cells.values())) > 1:
        return f"{min(cells.values())} to {max(cells.values())} seeds"
    seeds = ", ".join(map(str, methods.seeds))
    return f"the seeds {seeds}" if len(methods.seeds) > 1 else f"the seed {seeds}"


def _time(times: Sequence[TimeUsed]) -> list[str]:
    """Return sentences on devices and hours, by purpose."""
    sentences = []
    for purpose in (TESTED, SEARCHED, UNFINISHED, OTHERS):
        for each in times:
            if each.purpose != purpose or not each.num_timed:
                continue
            device = each.device or "a device that is not recorded"
            known = "" if each.num_timed == each.num_trials else f" ({each.num_timed} of them timed)"
            number = f"{each.num_trials} trial{'s' if each.num_trials > 1 else ''}"
            sentences.append(
                f"{number} {purpose}{known}: {format_seconds(each.seconds)} on {device}, "
                f"{format_seconds(each.seconds_per_trial)} per trial"
            )
    total = sum(each.seconds for each in times)
    return (
        [f"In all, trials took {format_seconds(total)} of device time ({'; '.join(sentences)})."] if sentences else []
    )


def _software(methods: Methods) -> list[str]:
    """Return a sentence on number formats and versions; empty where no trial has finished."""
    titles = {PRECISION_TAG: "numbers in", TORCH_TAG: "PyTorch", TIMM_TAG: "timm"}
    texts = [
        f"{title} {join(methods.environment[tag], 'and')}" for tag, title in titles.items() if methods.environment[tag]
    ]
    return [f"Trials ran with {join(texts, 'and')}."] if texts else []


def _code(methods: Methods) -> list[str]:
    """Return a sentence on the code and the dates; empty where no launch is known."""
    if not methods.launches:
        return []
    commits = dict.fromkeys(
        f"commit {each.commit[:12]}{' with uncommitted changes' if each.is_changed else ''}"
        for each in methods.launches
        if each.commit
    )
    code = f"from {join([*commits], 'and')} of the code" if commits else "from code without a recorded commit"
    dates = sorted({each.date for each in methods.launches})
    when = f"on {dates[0]}" if len(dates) == 1 else f"from {dates[0]} to {dates[-1]}"
    return [f"They were launched {when} {code}."]
