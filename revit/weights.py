"""Where pretrained weights come from, and reading them safely.

Finding and hashing them is part of planning, so torch is imported only where tensors are read.
"""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from revit.config import ModelConfig
from revit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGED = Path(__file__).parent / "pretrained"
WEIGHTS_DIR_VARIABLE = "REVIT_WEIGHTS_DIR"


def find_weights(model: ModelConfig) -> Path | None:
    """The file that `model` starts from; None where it starts from scratch.

    Looked for as NAME.safetensors in the folder that REVIT_WEIGHTS_DIR names, then in the package.

    Raises:
        InputError: it is in neither place.
    """
    if not model.pretrained:
        return None
    folders = [PACKAGED]
    if os.environ.get(WEIGHTS_DIR_VARIABLE):
        folders.insert(0, Path(os.environ[WEIGHTS_DIR_VARIABLE]))
    for folder in folders:
        path = folder / f"{model.name}.safetensors"
        if path.is_file():
            return path
    raise InputError(
        f"model.name = {model.name!r}: no pretrained weights {model.name}.safetensors; put them into a folder "
        f"and name it in {WEIGHTS_DIR_VARIABLE}, or set model.pretrained to False"
    )


def weights_digest(path: Path | None) -> str | None:
    """Hash of the file's bytes, None for no file."""
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def read_weights(path: Path) -> "dict[str, Tensor]":
    """Tensors by name, on the CPU. Nothing in the file is executed.

    Raises:
        InputError: the file is torn or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
