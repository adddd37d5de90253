"""Facts of timm, against its model listing or torchvision."""

import pytest
import timm
from torchvision.models import ResNet18_Weights

from revit.errors import InputError
from revit.models.timm_models import check_name, mean_and_std


@pytest.mark.parametrize("name", ["resnet18", "vit_base_patch16_224.orig_in21k", timm.list_models()[0]])
def test_a_model_of_timm_is_accepted_with_and_without_a_tag(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("resnet18x", "resnet18,"),
        ("vit_base_patch16_224.orig_in21", "vit_base_patch16_224.orig_in21k"),
        ("vit_nan", "vit_nano"),
    ],
)
def test_another_name_is_refused_with_the_closest_ones(name: str, closest: str) -> None:
    with pytest.raises(InputError, match=rf"model.name = '{name}': no such model; closest: .*{closest}"):
        check_name(name)


def test_mean_and_std_are_those_of_torchvisions_weights() -> None:
    oracle = ResNet18_Weights.IMAGENET1K_V1.transforms()
    assert mean_and_std("resnet18.tv_in1k") == (tuple(oracle.mean), tuple(oracle.std))
