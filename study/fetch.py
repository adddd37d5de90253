"""Getting what a study needs before it runs, as nodes with GPUs are often offline."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from revit.config import ModelConfig
from revit.datasets.readers import reader_for
from revit.datasets.registry import DATASETS, RemoteFile
from revit.download import download
from revit.errors import InputError
from revit.weights import HUB_FILES, WEIGHTS_DIR_VARIABLE, find_weights, hub_repo, weights_digest
from search_spaces.space import SearchSpace

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Need:
    """One thing a study needs: what it is, whether it is here now, and if not, how to get it by hand."""

    what: str
    here: bool
    advice: str = ""


def fetch(space: SearchSpace, data_dir: Path, console: Console) -> Iterator[Need]:
    """Get every dataset and all weights that the space names and this machine has not, one after the other.

    What cannot be fetched is no error: it is yielded with the advice to get it by hand.
    """
    configs = [candidate.config for candidate in space.candidates(space.seeds[:1])]
    for dataset in dict.fromkeys(config.dataset for config in configs):
        yield _fetch_dataset(dataset, data_dir, console)
    for model in dict.fromkeys(config.model for config in configs if config.model.pretrained):
        yield _fetch_weights(model)


def _fetch_dataset(dataset: str, data_dir: Path, console: Console) -> Need:
    what = f"dataset {dataset}"
    if _dataset_is_here(dataset, data_dir):
        return Need(what=what, here=True)
    files = DATASETS[dataset].files if dataset in DATASETS else ()
    try:
        for file in files:
            _with_progress(file, data_dir, console)
        reader_for(dataset).find(data_dir)
    except InputError as error:
        by_hand = "; ".join(f"{file.url} -> {data_dir / file.path}" for file in files)
        return Need(what=what, here=False, advice=f"{error}\n  by hand: {by_hand}" if files else str(error))
    return Need(what=what, here=True)


def _dataset_is_here(dataset: str, data_dir: Path) -> bool:
    try:
        reader_for(dataset).find(data_dir)
    except InputError:
        return False
    return True


def _with_progress(file: RemoteFile, data_dir: Path, console: Console) -> None:
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console) as bar:
        task = bar.add_task(file.path, total=None)
        download(file, data_dir, lambda have, total: bar.update(task, completed=have, total=total))


def _fetch_weights(model: ModelConfig) -> Need:
    what = f"weights of {model.name}"
    try:
        weights_digest(find_weights(model))
        return Need(what=what, here=True)
    except InputError as error:
        repo = hub_repo(model.name)
        if model.weights is not None or repo is None:
            return Need(what=what, here=False, advice=str(error))
    try:
        _check_blob(Path(hf_hub_download(repo, HUB_FILES[0])))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, InputError) as error:
        reason = str(error).splitlines()[0]
        url = hf_hub_url(repo, HUB_FILES[0])
        by_hand = f"by hand: {url} -> {model.name}.safetensors in the folder of --weights-dir ({WEIGHTS_DIR_VARIABLE})"
        return Need(what=what, here=False, advice=f"{reason}\n  {by_hand}")
    return Need(what=what, here=True)


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
