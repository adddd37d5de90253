"""The model card of an exported model: Markdown with the metadata that the Hugging Face hub reads."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from revit.identity import TRAINING_VERSION
from revit.models.architectures import MODELS
from revit.training.metrics import METRICS, Metric, find_metric
from study.analysis.intervals import intervals_note
from study.analysis.results import cell_table
from study.export.timm_model import loads_in_timm
from study.labels import label
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.methods import DatasetFacts, ModelFacts, describe_datasets, describe_models
from study.report.settings import settings
from study.report.table_markup import escape_markdown
from study.trained_model import TrainedModel
from study.trial import Trial

HUB_LICENSES = {"Apache-2.0": "apache-2.0"}
"""The hub's identifier of a license of weights; `other` for the rest."""


class Card(NamedTuple):
    """Facts of a model card.

    Attributes:
        plan: of the whole study, measured: intervals of a cell take the variance of all cells into account.
        cell_trials: trials of the model's cell, one for each seed.
    """

    model: TrainedModel
    plan: Plan
    cell_trials: Sequence[Trial]


def write_card(card: Card, path: Path) -> None:
    """Write a model card."""
    trial, space = card.model.trial, card.plan.space
    alone = replace(card.plan, trials=[trial], further=())
    [dataset], [weights] = describe_datasets(alone), describe_models(alone)
    title = f"{card.model.config.model.name} on {dataset.name}"
    sections = {
        "Use": _usage(card.model),
        "Results": _results(card),
        "Training": _list({each.title: escape_markdown(each.value) for each in settings(alone)}),
        "Data": _list(_data(dataset)),
        "Weights": _list(_weights(weights)),
        "Provenance": _list(_provenance(card)),
        "Caveats": "\n".join(f"- {escape_markdown(each)}" for each in _caveats(card)),
    }
    summary = f"{weights.title}, {_verb(weights)} on {dataset.title}, in the study `{space.name}`: {space.question}"
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())
    front = yaml.safe_dump(_metadata(card, weights), sort_keys=False, allow_unicode=True)
    path.write_text(f"---\n{front}---\n\n# {escape_markdown(title)}\n\n{escape_markdown(summary)}\n\n{body}\n")


def _verb(weights: ModelFacts) -> str:
    return "fine-tuned" if weights.is_pretrained else "trained from random weights"


def _metadata(card: Card, weights: ModelFacts) -> dict[str, Any]:
    """Return the metadata of the hub: license, library, tags, results."""
    config = card.model.config
    names = [name for name in _metric_names(card) if METRICS.get(name) is not None]
    values = _record(card.model.trial).metrics
    measured = [
        {"type": name, "name": METRICS[name].name, "value": values[f"test_{name}"]}
        for name in names
        if f"test_{name}" in values
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": config.dataset, "type": config.dataset, "split": "test"},
        "metrics": measured,
    }
    library = {"library_name": "timm"} if loads_in_timm(card.model) else {}
    return {
        "license": HUB_LICENSES.get(weights.license, "other"),
        **library,
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", *(["timm", "transformers"] if library else []), "revit-study"],
        "model-index": [{"name": f"{config.model.name}-{config.dataset}", "results": [result]}],
    }


def _usage(model: TrainedModel) -> str:
    """Return how the folder is loaded, by each library that can."""
    if not loads_in_timm(model):
        name = escape_markdown(model.config.model.name)
        return f"timm and transformers cannot build {name}: load `model.pt2`.\n\n{_usage_of_program(model)}"
    of_libraries = textwrap.dedent(
        """\
        With transformers, which resizes as the test of this model did:

        ```python
        from transformers import pipeline

        classify = pipeline("image-classification", model="FOLDER")
        classify("image.png")
        ```

        With timm, which resizes by PIL: a pixel may differ by 1 of 255.

        ```python
        import timm
        from PIL import Image

        model = timm.create_model("local-dir:FOLDER", pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
        logits = model(transform(Image.open("image.png").convert("RGB"))[None])
        model.pretrained_cfg["label_names"][logits.argmax()]
        ```"""
    )
    return f"{of_libraries}\n\n{_usage_of_program(model)}"


def _usage_of_program(model: TrainedModel) -> str:
    """Return how the program is loaded, which has its normalization inside."""
    side = model.resolution
    return textwrap.dedent(
        f"""\
        With torch alone, from pixels that are resized to {side} x {side}:

        ```python
        import json
        import torch
        from PIL import Image
        from torchvision.transforms.v2.functional import pil_to_tensor, resize

        extra = {{"model.json": ""}}
        program = torch.export.load("FOLDER/model.pt2", extra_files=extra)
        pixels = resize(pil_to_tensor(Image.open("image.png").convert("RGB")), [{side}, {side}])[None]
        logits = program.module()(pixels)  # (B, 3, {side}, {side}) uint8, any B
        json.loads(extra["model.json"])["class_names"][logits[0].argmax()]
        ```"""
    )


def _results(card: Card) -> str:
    """Return a table of the study's metrics: of this model, of its cell."""
    rows = ["| metric | this model | its cell | seeds of the cell |", "|---|---|---|---|"]
    for plan in (card.plan, *card.plan.further):
        metric = find_metric(plan.space.metric)
        alone = [trial for trial in plan.trials if trial.identity == card.model.trial.identity]
        [own] = cell_table(replace(plan, trials=alone[:1])).to_dict("records")
        table = cell_table(plan).to_dict("records")
        cell = next(row for row in table if all(row[axis] == own[axis] for axis in plan.space.scientific))
        rows.append(f"| {metric.heading} | {_value(own, metric)} | {_value(cell, metric)} | {cell['n']} |")
    note = intervals_note(find_metric(card.plan.space.metric))
    return "\n".join([*rows, "", note])


def _value(row: Mapping[Any, Any], metric: Metric) -> str:
    """Return a mean with its interval."""
    interval = f" [{metric.format(row['low'])}, {metric.format(row['high'])}]" if row["low"] == row["low"] else ""
    return metric.format(row["mean"]) + interval if row["n"] else "-"


def _data(dataset: DatasetFacts) -> dict[str, str]:
    images = f"{dataset.num_train[0]:,} training, {dataset.num_test:,} test"
    facts = {"dataset": f"{dataset.name}: {dataset.title}", "images": images, "source": dataset.source}
    return {**facts, "license": dataset.license, **({"caveat": dataset.caveat} if dataset.caveat else {})}


def _weights(weights: ModelFacts) -> dict[str, str]:
    started = "pretrained weights" if weights.is_pretrained else "random weights"
    return {"model": weights.title, "started from": started, "source": weights.source, "license": weights.license}


def _provenance(card: Card) -> dict[str, str]:
    trial, space = card.model.trial, card.plan.space
    tags = space.tags
    record = _record(trial)
    versions = [f"{name} {value}" for name, value in record.environment.items()]
    return {
        "study": ", ".join([space.name, *(f"{name} {tags[name]}" for name in ("recipe", "scale") if name in tags)]),
        "cell": label(trial.candidate.point),
        "seed": str(trial.candidate.config.seed),
        "identity": trial.identity,
        "MLflow run": record.run_id,
        "trained with": ", ".join(versions) or "not recorded",
        "exported with": f"revit-study {version('revit-study')}, training version {TRAINING_VERSION}",
    }


def _caveats(card: Card) -> list[str]:
    """Return the caveats of the study as far as they are about this cell, and of the model itself."""
    own = plan_caveats(replace(card.plan, trials=list(card.cell_trials), further=()))
    spec = MODELS.get(card.model.config.model.name)
    small = ["A small model of this project, for CPUs: no evidence on models of the usual sizes."]
    is_own = spec is not None and spec.timm_name is None
    return [*own, *(small if is_own else []), "It answers one of its classes for any image, also of something else."]


def _record(trial: Trial) -> Any:
    assert trial.record is not None, "a finished trial has a record"
    return trial.record


def _metric_names(card: Card) -> list[str]:
    return [plan.space.metric for plan in (card.plan, *card.plan.further)]


def _list(facts: Mapping[str, str]) -> str:
    return "\n".join(f"- **{name}:** {text}" for name, text in facts.items())
