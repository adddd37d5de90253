"""A trained model as one that timm builds, with its files for timm or transformers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revit.errors import InputError
from revit.models.networks import timm_arguments
from study.layout import MODEL
from study.trained_model import TrainedModel

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_FILE, PROCESSOR_FILE = "config.json", "preprocessor_config.json"
PROCESSOR = "ViTImageProcessor"
"""Class of transformers that resizes by torchvision, as our evaluation does; timm resizes by PIL."""
BILINEAR = 2
"""PIL's number for bilinear interpolation."""


def loads_in_timm(model: TrainedModel) -> bool:
    """Return whether timm can build the network of a model, and so transformers, too."""
    return timm_arguments(model.config.model.name, model.resolution) is not None


def write_timm_files(model: TrainedModel, folder: Path) -> None:
    """Write weights, `config.json`, `preprocessor_config.json`: what timm and transformers read.

    A model that timm cannot build has the same files; its `config.json` names no architecture.

    Raises:
        InputError: timm loads another network from the folder.
    """
    from safetensors.torch import save_file
    from timm.models import save_for_hf

    network: Any = build_timm_network(model)
    if network is None:
        save_file(model.network.state_dict(), folder / MODEL)
        _write_json(folder / CONFIG_FILE, _class_config(model))
    else:
        network.pretrained_cfg = _pretrained_cfg(model, network)
        save_for_hf(network, str(folder), safe_serialization=True)
        config = json.loads((folder / CONFIG_FILE).read_text())
        config["model_args"].pop("num_classes")  # transformers passes it, too
        _write_json(folder / CONFIG_FILE, {**config, **_class_config(model)})
        check_loads(model, folder)
    _write_json(folder / PROCESSOR_FILE, _processor(model))


def build_timm_network(model: TrainedModel) -> "nn.Module | None":
    """Return the network as timm builds it, with the weights of a model; None if timm cannot build it.

    An attention without output projection is one whose projection changes nothing.
    """
    import timm
    import torch

    from revit.models.seeded_draws import SeededDraws

    found = timm_arguments(model.config.model.name, model.resolution)
    if found is None:
        return None
    architecture, arguments = found
    with SeededDraws(0):
        network: nn.Module = timm.create_model(architecture, num_classes=len(model.class_names), **arguments)
    weights: dict[str, Tensor] = dict(model.network.state_dict())
    for name, own in network.state_dict().items():
        if name not in weights and name.endswith("attn.proj.weight"):
            weights[name] = torch.eye(len(own))
        elif name not in weights and name.endswith("attn.proj.bias"):
            weights[name] = torch.zeros_like(own)
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def check_loads(model: TrainedModel, folder: Path) -> None:
    """Raise InputError unless timm loads a network from a folder whose logits are those of the model, bit by bit."""
    import timm
    import torch

    from revit.models.seeded_draws import SeededDraws

    with SeededDraws(0):
        loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.rand(2, 3, model.resolution, model.resolution, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not torch.equal(loaded(images), model.network(images)):
            raise InputError(f"trial {model.trial.identity}: timm computes something else with these weights")


def _class_config(model: TrainedModel) -> dict[str, Any]:
    """Return what `config.json` says of every model."""
    return {
        "num_classes": len(model.class_names),
        "label_names": list(model.class_names),
        "image_processor_type": PROCESSOR,
    }


def _preprocessing(model: TrainedModel) -> dict[str, Any]:
    """Return the preprocessing of our evaluation by timm's names: the whole image, resized to a square."""
    return {
        "input_size": [3, model.resolution, model.resolution],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "mean": list(model.normalization.mean),
        "std": list(model.normalization.std),
    }


def _pretrained_cfg(model: TrainedModel, network: Any) -> dict[str, Any]:
    """Return timm's description of weights; nothing of the weights that the architecture is known for."""
    own = {name: network.pretrained_cfg[name] for name in ("architecture", "first_conv", "classifier")}
    return {**own, **_preprocessing(model), "num_classes": len(model.class_names)}


def _processor(model: TrainedModel) -> dict[str, Any]:
    """Return the preprocessing of our evaluation as transformers' PROCESSOR reads it."""
    return {
        "image_processor_type": PROCESSOR,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": model.resolution, "width": model.resolution},
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(model.normalization.mean),
        "image_std": list(model.normalization.std),
    }


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2) + "\n")
