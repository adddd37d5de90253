import timm
import torch

from revit.models.heads import HEAD_INITS, head_prefixes, heads, init_head


def test_the_heads_of_a_distilled_model_are_both_found_and_initialized() -> None:
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3)
    assert heads(model) == (model.head, model.head_dist)
    assert head_prefixes(model) == ("pre_logits.", "head.", "head_dist.")
    init_head(model, "zeros")
    assert not any(tensor.any() for head in heads(model) for tensor in head.parameters())


def test_the_head_of_a_resnet_has_its_name() -> None:
    model = timm.create_model("resnet18", num_classes=3)
    assert head_prefixes(model) == ("pre_logits.", "fc.")
    torch.manual_seed(0)
    init_head(model, "torch")
    torch.manual_seed(0)
    assert torch.equal(model.fc.weight, torch.nn.Linear(512, 3).weight)
    assert "torch" not in HEAD_INITS
