"""Getting what a study needs before it runs, as nodes with GPUs are often offline."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from revit.config import ModelConfig
from revit.datasets.readers import reader_for
from revit.datasets.registry import DATASETS, DatasetSpec, RemoteFile
from revit.download import download, download_from_hub, silence_hub
from revit.errors import InputError, MissingInputError, first_line
from revit.models.weights import HUB_FILES, WEIGHTS_DIR_VARIABLE, find_weights, hub_repo, weights_digest
from search_spaces.framework.space import SearchSpace
from study.advice import missing_advice

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing a study needs.

    Attributes:
        what: what it is.
        here: whether it is on this machine now.
        can_fetch: whether `fetch` may get it.
        advice: where it is not here, where it was looked for, or how to get it by hand.
    """

    what: str
    here: bool
    can_fetch: bool
    advice: str = ""


def fetch(spaces: Iterable[SearchSpace], data_dir: Path, console: Console) -> Iterator[Need]:
    """Get every dataset and all weights that the spaces name and this machine has not, one after the other.

    What cannot be fetched is no error: it is yielded with the advice to get it by hand.
    """
    datasets, models = _named(spaces)
    for dataset in datasets:
        yield _fetch_dataset(dataset, data_dir, console)
    for model in models:
        yield _fetch_weights(model)


def missing(space: SearchSpace, data_dir: Path) -> list[Need]:
    """What the space names and this machine has not; fetches nothing."""
    datasets, models = _named([space])
    needs = [*(_dataset_need(dataset, data_dir) for dataset in datasets), *map(_weights_need, models)]
    return [need for need in needs if not need.here]


def _named(spaces: Iterable[SearchSpace]) -> tuple[list[str], list[ModelConfig]]:
    """The datasets, and the models with pretrained weights, of every trial; each once."""
    configs = [candidate.config for space in spaces for candidate in space.candidates(space.seeds[:1])]
    datasets = dict.fromkeys(config.dataset for config in configs)
    models = dict.fromkeys(config.model for config in configs if config.model.pretrained)
    return list(datasets), list(models)


def _dataset_need(dataset: str, data_dir: Path) -> Need:
    what, can_fetch = f"dataset {dataset}", dataset in DATASETS
    try:
        reader_for(dataset).find(data_dir)
    except MissingInputError as error:
        return Need(what=what, here=False, can_fetch=can_fetch, advice=error.details)
    except (InputError, OSError) as error:
        return Need(what=what, here=False, can_fetch=can_fetch, advice=str(error))
    return Need(what=what, here=True, can_fetch=can_fetch)


def _fetch_dataset(dataset: str, data_dir: Path, console: Console) -> Need:
    need = _dataset_need(dataset, data_dir)
    if need.here or not need.can_fetch:
        return need
    spec = DATASETS[dataset]
    try:
        _download(spec, data_dir, console)
        need = _dataset_need(dataset, data_dir)
    except InputError as error:
        need = replace(need, advice=str(error))
    by_hand = "; ".join(_by_hand(spec, data_dir))
    return need if need.here else replace(need, advice=f"{need.advice}\n  by hand: {by_hand}")


def _download(spec: DatasetSpec, data_dir: Path, console: Console) -> None:
    for file in spec.files:
        _with_progress(file, data_dir, console)
    if spec.hub is not None:
        download_from_hub(spec.hub, data_dir / spec.name)


def _by_hand(spec: DatasetSpec, data_dir: Path) -> Iterator[str]:
    """What a person gets where, and where it belongs."""
    for file in spec.files:
        yield f"{file.url} -> {data_dir / file.path}"
    if spec.hub is not None:
        page = f"https://huggingface.co/datasets/{spec.hub.repo}/tree/{quote(spec.hub.revision, safe='')}"
        yield f"{page}, its files {spec.hub.pattern} in their folders -> {data_dir / spec.name}"
    if spec.page:
        yield f"{spec.page} (after a login), unpacked -> {data_dir / spec.name}"


def _with_progress(file: RemoteFile, data_dir: Path, console: Console) -> None:
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console) as bar:
        task = bar.add_task(file.path, total=None)
        download(file, data_dir, lambda have, total: bar.update(task, completed=have, total=total))


def _weights_need(model: ModelConfig) -> Need:
    what = f"weights of {model.name}"
    can_fetch = model.weights is None and hub_repo(model.name) is not None
    try:
        weights_digest(find_weights(model))
    except MissingInputError as error:
        return Need(what=what, here=False, can_fetch=can_fetch, advice=f"{error.details}; {missing_advice(error)}")
    except InputError as error:
        return Need(what=what, here=False, can_fetch=can_fetch, advice=str(error))
    return Need(what=what, here=True, can_fetch=can_fetch)


def _fetch_weights(model: ModelConfig) -> Need:
    need = _weights_need(model)
    repo = hub_repo(model.name)
    if need.here or not need.can_fetch or repo is None:
        return need
    silence_hub()
    from httpx2 import HTTPError  # here, as a plan asks what is missing and gets nothing
    from huggingface_hub import hf_hub_download, hf_hub_url

    try:
        _check_blob(Path(hf_hub_download(repo, HUB_FILES[0])))
    except (HTTPError, OSError, InputError) as error:
        url = hf_hub_url(repo, HUB_FILES[0])
        by_hand = f"by hand: {url} -> {model.name}.safetensors in the folder of --weights-dir ({WEIGHTS_DIR_VARIABLE})"
        return replace(need, advice=f"{first_line(error)}\n  {by_hand}")
    return replace(need, here=True, advice="")


def _check_blob(path: Path) -> None:
    """Raise InputError, and delete it, where a file in Hugging Face's cache is not what its name says.

    The cache names a large file by the SHA-256 that the hub states, and checks no more than its size.
    """
    blob = path.resolve()
    digest = weights_digest(blob)
    if SHA256.fullmatch(blob.name) and digest != blob.name:
        path.unlink()
        blob.unlink()
        raise InputError(f"{path.name} has the SHA-256 {digest}, not {blob.name}: what was sent is deleted")
