"""Dropout of parts of a batch, against that of the whole batch."""

from collections.abc import Callable

import pytest
import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from revit.datasets.batch_parts import BatchPart
from revit.models.shared_dropout import SharedDropout


def attend(values: Tensor, mask: Tensor | None = None) -> Tensor:
    heads = values.unflatten(-1, (2, -1)).transpose(1, 2)
    return F.scaled_dot_product_attention(heads, heads, heads, attn_mask=mask, dropout_p=0.5)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda values: F.dropout(values, 0.3),
    "in place": lambda values: F.dropout(values.clone(), 0.3, inplace=True),
    "module": nn.Dropout(0.5),
    "transposed": lambda values: F.dropout(values.transpose(1, 2), 0.5),
    "windows": lambda values: F.dropout(values.flatten(0, 1), 0.5),
    "stochastic depth": DropPath(0.5),
    "attention": attend,
    "masked attention": lambda values: attend(values, torch.ones(len(values), 1, 6, 6, dtype=torch.bool).tril()),
    "everything dropped": lambda values: F.dropout(values, 1.0),
    "nothing dropped": lambda values: F.dropout(values, 0.0),
    "twice": lambda values: F.dropout(F.dropout(values, 0.2), 0.2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parts_drop_what_the_whole_drops(name: str) -> None:
    whole = torch.randn(7, 6, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    torch.manual_seed(0)
    expected = FUNCTIONS[name](whole)
    after = torch.rand(1)
    weights = torch.arange(float(expected.numel())).view_as(expected)
    gradient = torch.autograd.grad((weights * expected).sum(), whole)[0]
    rows_per_image = len(expected) // 7
    for rows in (slice(0, 3), slice(3, 4), slice(4, 7)):
        part = whole.detach()[rows].requires_grad_()
        torch.manual_seed(0)
        with SharedDropout(BatchPart(slice(0, len(part)), slice(0, 7), rows.start)):
            found = FUNCTIONS[name](part)
        its = slice(rows.start * rows_per_image, rows.stop * rows_per_image)
        assert torch.equal(torch.rand(1), after), "the generator has drawn as much"
        torch.testing.assert_close(found, expected[its], rtol=1e-6, atol=1e-6)
        its_gradient = torch.autograd.grad((weights[its] * found).sum(), part)[0]
        torch.testing.assert_close(its_gradient, gradient[rows], rtol=1e-5, atol=1e-4)


def test_evaluation_draws_nothing() -> None:
    layer, values = nn.Dropout(0.5).eval(), torch.ones(2, 3)
    torch.manual_seed(0)
    with SharedDropout(BatchPart(slice(0, 2), slice(0, 4), 2)):
        assert torch.equal(layer(values), values)
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(0)))


def test_a_compiled_model_drops_the_same() -> None:
    """In whole graphs, and once more for each part."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3), DropPath(0.3))
    model.append(nn.Dropout(0.2))
    compiled = torch.compile(model, dynamic=False, fullgraph=True, backend="aot_eager")
    values = torch.randn(4, 6, 8)
    for size, offset in ((9, 3), (8, 2), (9, 3), (9, 5)):
        part = BatchPart(slice(0, 4), slice(0, size), offset)
        outputs = []
        for network in (model, compiled):
            torch.manual_seed(0)
            with SharedDropout(part):
                outputs.append((network(values), torch.rand(1)))
        (one, after), (other, other_after) = outputs
        torch.testing.assert_close(one, other)
        assert torch.equal(after, other_after)
