"""The registry of models: facts only, without importing torch.

It holds the models that the studies name. `build.py` builds them, and any other classification model of timm by its
timm name.
"""

import re
from dataclasses import dataclass

from revit.functions import is_import_path


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model, before it is built.

    Attributes:
        title: description in a few words.
        timm_name: None for a model that timm does not have.
        patch_size: side of a square patch in pixels, of which every resolution must be a multiple; None for a
            convolutional network.
        resolution: native image side in pixels.
        pretrained: whether it has pretrained weights.
        num_params: parameters with a 10-class head at the native resolution.
        source: who trained it on which data, and where that is published.
        weight_files: published names of its weights, beside NAME.safetensors.
    """

    name: str
    title: str
    timm_name: str | None = None
    patch_size: int | None
    resolution: int
    pretrained: bool = True
    num_params: int
    source: str
    license: str = "Apache-2.0"
    weight_files: tuple[str, ...] = ()


_TABLE = (
    ModelSpec(
        name="vit_b16_in21k",
        title="ViT-B/16, ImageNet-21k (Tables 1 to 4)",
        timm_name="vit_base_patch16_224.orig_in21k",
        patch_size=16,
        resolution=224,
        num_params=85_806_346,
        source="Dosovitskiy et al. 2021, arXiv:2010.11929; gs://vit_models/imagenet21k/ViT-B_16.npz",
        weight_files=("ViT-B_16.npz",),
    ),
    ModelSpec(
        name="vit_b16_in21k_ft_in1k",
        title="ViT-B/16, ImageNet-21k, then fine-tuned on ImageNet-1k (Table 5)",
        timm_name="vit_base_patch16_224.orig_in21k_ft_in1k",
        patch_size=16,
        resolution=224,
        num_params=85_806_346,
        source="Dosovitskiy et al. 2021, arXiv:2010.11929; gs://vit_models/imagenet21k+imagenet2012",
    ),
    ModelSpec(
        name="bit_r50x1_in21k",
        title="BiT-M ResNet-50x1, ImageNet-21k (Tables 3, 4)",
        timm_name="resnetv2_50x1_bit.goog_in21k",
        patch_size=None,
        resolution=224,
        num_params=23_520_842,
        source="Kolesnikov et al. 2020, arXiv:1912.11370; gs://bit_models/BiT-M-R50x1.npz",
        weight_files=("BiT-M-R50x1.npz",),
    ),
    ModelSpec(
        name="vit_cifar_scratch",
        title="small ViT for 32 px, trained from scratch (Table 6)",
        patch_size=4,
        resolution=32,
        pretrained=False,
        num_params=1_013_898,
        source="the paper's ablation model, with the attention output projection that its code leaves out",
    ),
    ModelSpec(
        name="vit_p16_scratch",
        title="small ViT for 224 px, trained from scratch (the authors' unreported run)",
        patch_size=16,
        resolution=224,
        pretrained=False,
        num_params=1_122_954,
        source="patch and width from the log of the paper's code; the rest, which the log does not state, as for 32 px",
    ),
    ModelSpec(
        name="vit_nano",
        title="nano ViT for CPUs, Fashion-MNIST",
        patch_size=4,
        resolution=28,
        num_params=141_066,
        source="pretrained by this project on Fashion-MNIST (revit/models/pretrained/vit_nano.md)",
    ),
    ModelSpec(
        name="vit_nano_small",
        title="small of three nano ViTs, Fashion-MNIST",
        patch_size=4,
        resolution=28,
        num_params=54_410,
        source="pretrained by this project on Fashion-MNIST (revit/models/pretrained/vit_nano_small.md)",
    ),
    ModelSpec(
        name="vit_nano_medium",
        title="middle of three nano ViTs, Fashion-MNIST",
        patch_size=4,
        resolution=28,
        num_params=207_114,
        source="pretrained by this project on Fashion-MNIST (revit/models/pretrained/vit_nano_medium.md)",
    ),
    ModelSpec(
        name="vit_nano_large",
        title="large of three nano ViTs, Fashion-MNIST",
        patch_size=4,
        resolution=28,
        num_params=631_690,
        source="pretrained by this project on Fashion-MNIST (revit/models/pretrained/vit_nano_large.md)",
    ),
    ModelSpec(
        name="bit_nano",
        title="nano ResNetV2 with GroupNorm and weight standardization, Fashion-MNIST",
        patch_size=None,
        resolution=28,
        num_params=225_066,
        source="pretrained by this project on Fashion-MNIST (revit/models/pretrained/bit_nano.md)",
    ),
)

MODELS: dict[str, ModelSpec] = {spec.name: spec for spec in _TABLE}


def patch_size(name: str) -> int | None:
    """Return the side of a patch in pixels, from the registry or a timm name such as `vit_tiny_patch16_224`.

    None if the name does not state it, as for convolutional networks.
    """
    if name in MODELS:
        return MODELS[name].patch_size
    stated = re.search(r"patch([1-9]\d{0,3})", name)
    return int(stated.group(1)) if stated else None


def architecture(name: str) -> str:
    """Return the name of a model without what its weights add: timm's name without its tag."""
    if is_import_path(name):
        return name
    spec = MODELS.get(name)
    return ((spec and spec.timm_name) or name).partition(".")[0]
