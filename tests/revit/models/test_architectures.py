"""The registry of models, against timm."""

import timm
from timm.models import get_pretrained_cfg

from revit.models.architectures import MODELS, patch_size


def test_the_patch_size_of_a_timm_name() -> None:
    assert patch_size("vit_base_patch16_224.orig_in21k") == 16
    assert patch_size("resnet18") is None
    assert patch_size("vit_nano") == 4, "the registry states it"


def test_timm_has_the_models_of_the_registry_at_their_native_resolution() -> None:
    of_timm = [spec for spec in MODELS.values() if spec.timm_name is not None]
    assert len(of_timm) == 3
    for spec in of_timm:
        assert timm.is_model(spec.timm_name)
        assert get_pretrained_cfg(spec.timm_name).input_size == (3, spec.resolution, spec.resolution)
        assert patch_size(spec.timm_name) == spec.patch_size
