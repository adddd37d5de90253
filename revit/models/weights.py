"""Pretrained weights on this machine: their paths, their digests. Imports no torch, as planning uses it."""

import hashlib
import os
from pathlib import Path

from revit.config import ModelConfig
from revit.errors import InputError, MissingInputError
from revit.models.architectures import MODELS
from revit.paths import check_regular, expand_path
from revit.validation import short_repr

PACKAGED = Path(__file__).parent / "pretrained"
WEIGHTS_DIR_VARIABLE = "REVIT_WEIGHTS_DIR"
SUFFIXES = (".safetensors", ".npz", ".pth", ".pt", ".bin")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def find_weights(model: ModelConfig) -> Path | None:
    """Return the file or folder of a model's pretrained weights; None if it starts from scratch.

    Searched in this order: `model.weights`; a file with the name of the model, or its published name, in the folder
    REVIT_WEIGHTS_DIR; the same in the package; the cache of Hugging Face.

    Raises:
        MissingInputError: the weights were not found.
        InputError: `model.weights` does not exist.
    """
    if not model.pretrained:
        return None
    try:
        if model.weights is not None:
            named = expand_path(Path(model.weights))
            if named.exists():
                return named
            raise InputError(f"model.weights = {short_repr(model.weights)}: there is no such file or folder")
        published = MODELS[model.name].weight_files if model.name in MODELS else ()
        for folder in _folders():
            for name in (*(model.name + suffix for suffix in SUFFIXES), *published, model.name):
                if (folder / name).exists():
                    return folder / name
        cached = _in_hub_cache(model.name)
    except OSError as error:  # a name that is too long, a folder without permission
        raise InputError(f"weights of {short_repr(model.name)} cannot be searched for: {error.strerror}") from error
    if cached is not None:
        return cached
    raise MissingInputError(
        "weights",
        model.name,
        [*_folders(), "the cache of Hugging Face"],
        expected=f"{model.name}.safetensors, or the formats {', '.join(SUFFIXES[1:])}",
        is_fetchable=hub_repo(model.name) is not None,
    )


def hub_repo(name: str) -> str | None:
    """Return the Hugging Face repository of a model's weights; None for weights in the package, and without weights."""
    spec = MODELS.get(name)
    if spec is None:
        return f"timm/{name}"
    return None if spec.timm_name is None else f"timm/{spec.timm_name}"


def weights_file(path: Path) -> Path:
    """Return the file of weights that a path names: itself, or the one in a folder of Hugging Face transformers."""
    return path / "model.safetensors" if path.is_dir() else path


def weights_digest(path: Path | None) -> str | None:
    """Return the SHA-256 of a file of weights, or of the weights in a folder; None for None.

    Raises:
        InputError: it cannot be read, or is not a regular file.
    """
    if path is None:
        return None
    file = weights_file(path)
    check_regular(file)
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error


def use_weights_dir(folder: Path | None) -> None:
    """Search this folder for weights from now on; None changes nothing."""
    if folder is not None:
        os.environ[WEIGHTS_DIR_VARIABLE] = str(expand_path(folder))


def _folders() -> list[Path]:
    named = os.environ.get(WEIGHTS_DIR_VARIABLE)
    return [Path(named).absolute(), PACKAGED] if named else [PACKAGED]


def _in_hub_cache(name: str) -> Path | None:
    repo = hub_repo(name)
    if repo is None:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for file in HUB_FILES:
        try:
            found = try_to_load_from_cache(repo, file)
        except HFValidationError:  # not a valid repository name
            return None
        if isinstance(found, str):
            return Path(found)
    return None
