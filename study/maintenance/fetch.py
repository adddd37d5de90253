"""Download of what a study needs before it runs: nodes with GPUs are often offline."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from revit.config import ModelConfig
from revit.datasets.dataset_spec import DatasetSpec, RemoteFile
from revit.datasets.readers import reader_for
from revit.datasets.registry import SPECS
from revit.download import download, download_from_hub, silence_hub
from revit.errors import InputError, MissingInputError, first_line
from revit.models.weights import HUB_FILES, WEIGHTS_DIR_VARIABLE, find_weights, hub_repo, weights_digest
from search_spaces.framework.space import SearchSpace

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A dataset or weights that a study needs.

    Attributes:
        is_fetchable: `fetch` can download it.
        advice: the places searched, or the manual download; empty if it is on this machine.
    """

    name: str
    is_fetchable: bool
    advice: str

    @property
    def is_present(self) -> bool:
        """True if it is on this machine."""
        return not self.advice


def fetch(spaces: Iterable[SearchSpace], data_dir: Path, console: Console) -> Iterator[Requirement]:
    """Download the missing datasets and weights of the spaces, one after the other.

    A failed download raises no error: the requirement is yielded with its manual download.
    """
    datasets, models = _find_inputs(spaces)
    for dataset in datasets:
        yield _fetch_dataset(dataset, data_dir, console)
    for model in models:
        yield _fetch_weights(model)


def find_missing(space: SearchSpace, data_dir: Path) -> list[Requirement]:
    """Return the requirements of a space that are missing; download nothing."""
    datasets, models = _find_inputs([space])
    found = [*(_dataset_requirement(dataset, data_dir) for dataset in datasets), *map(_weights_requirement, models)]
    return [each for each in found if not each.is_present]


def _find_inputs(spaces: Iterable[SearchSpace]) -> tuple[list[str], list[ModelConfig]]:
    """Return the datasets of all trials, and the models with pretrained weights, each once."""
    configs = [candidate.config for space in spaces for candidate in space.candidates(space.seeds[:1])]
    datasets = dict.fromkeys(name for config in configs for name in (config.dataset, *config.test_sets))
    models = dict.fromkeys(config.model for config in configs if config.model.pretrained)
    return list(datasets), list(models)


def _dataset_requirement(dataset: str, data_dir: Path) -> Requirement:
    advice = _fault(lambda: reader_for(dataset).find(data_dir))
    return Requirement(name=f"dataset {dataset}", is_fetchable=dataset in SPECS, advice=advice)


def _fault(find: Callable[[], object]) -> str:
    """Return why something is not found, empty if it is."""
    try:
        find()
    except MissingInputError as error:
        return error.details
    except (InputError, OSError) as error:
        return str(error)
    return ""


def _fetch_dataset(dataset: str, data_dir: Path, console: Console) -> Requirement:
    requirement = _dataset_requirement(dataset, data_dir)
    if requirement.is_present or not requirement.is_fetchable:
        return requirement
    spec = SPECS[dataset]

    def download_and_find() -> None:
        for file in spec.files:
            _with_progress(file, data_dir, console)
        if spec.hub is not None:
            download_from_hub(spec.hub, data_dir / spec.name)
        reader_for(dataset).find(data_dir)

    fault = _fault(download_and_find)
    manual = "; ".join(_manual_downloads(spec, data_dir))
    return replace(requirement, advice=f"{fault}\n  manual download: {manual}" if fault else "")


def _manual_downloads(spec: DatasetSpec, data_dir: Path) -> Iterator[str]:
    """Yield each address with the place for its file."""
    for file in spec.files:
        yield f"{file.url} -> {data_dir / file.path}"
    if spec.hub is not None:
        page = f"https://huggingface.co/datasets/{spec.hub.repo}/tree/{quote(spec.hub.revision, safe='')}"
        yield f"{page}, its files *.parquet in their folders -> {data_dir / spec.name}"
    if spec.page:
        yield f"{spec.page}, unpacked -> {data_dir / (spec.folder or spec.name)}"


def _with_progress(file: RemoteFile, data_dir: Path, console: Console) -> None:
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console) as bar:
        task = bar.add_task(file.path, total=None)
        download(file, data_dir, lambda have, total: bar.update(task, completed=have, total=total))


def _weights_requirement(model: ModelConfig) -> Requirement:
    is_fetchable = model.weights is None and hub_repo(model.name) is not None
    advice = _fault(lambda: weights_digest(find_weights(model)))
    return Requirement(name=f"weights of {model.name}", is_fetchable=is_fetchable, advice=advice)


def _fetch_weights(model: ModelConfig) -> Requirement:
    requirement = _weights_requirement(model)
    repo = hub_repo(model.name)
    if requirement.is_present or not requirement.is_fetchable or repo is None:
        return requirement
    silence_hub()
    from httpx2 import HTTPError  # lazy: a plan downloads nothing
    from huggingface_hub import hf_hub_download, hf_hub_url

    try:
        _check_blob(Path(hf_hub_download(repo, HUB_FILES[0])))
    except (HTTPError, OSError, InputError) as error:
        url = hf_hub_url(repo, HUB_FILES[0])
        target = f"{model.name}.safetensors in the folder of --weights-dir ({WEIGHTS_DIR_VARIABLE})"
        return replace(requirement, advice=f"{first_line(error)}\n  manual download: {url} -> {target}")
    return replace(requirement, advice="")


def _check_blob(path: Path) -> None:
    """Delete a file in Hugging Face's cache whose SHA-256 is not its name, and raise InputError.

    The cache names a large file by the SHA-256 that the hub states, but checks only its size.
    """
    blob = path.resolve()
    digest = weights_digest(blob)
    if SHA256.fullmatch(blob.name) and digest != blob.name:
        path.unlink()
        blob.unlink()
        raise InputError(f"{path.name} has the SHA-256 {digest}, not {blob.name}: the download was deleted")
