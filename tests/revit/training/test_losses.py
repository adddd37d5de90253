"""Losses by name, against torch's and timm's."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.losses import LOSSES

ROOT = Path(__file__).parents[3]
LOGITS = torch.randn(32, 7, generator=torch.Generator().manual_seed(0)) * 4
TARGETS = torch.rand(32, 7, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
ORACLES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": SoftTargetCrossEntropy(),
    "binary_cross_entropy": BinaryCrossEntropy(),
}
"""name -> mean over images, by a library."""


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_over_images_is_the_oracles(name: str) -> None:
    losses = LOSSES[name](LOGITS, TARGETS)
    assert losses.shape == (32,)
    torch.testing.assert_close(losses.mean(), ORACLES[name](LOGITS, TARGETS))


def test_a_config_accepts_the_tables_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a new entry needs no change of the config."""
    assert LOSSES.keys() == ORACLES.keys()
    with pytest.raises(InputError, match=r"loss = 'new': must be one of cross_entropy, .* or a function as"):
        FineTuneConfig(dataset="digits", steps=1, loss="new")
    monkeypatch.setitem(LOSSES, "new", LOSSES["cross_entropy"])
    assert FineTuneConfig(dataset="digits", steps=1, loss="new").loss == "new"


def test_the_diff_of_the_contributing_guide_adds_a_loss() -> None:
    diffs = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    [diff] = [each for each in diffs if "LOSSES" in each]
    hunks = dict(re.findall(r"^\+\+\+ b/(.+)\n((?:[ +](?!\+\+ ).*\n)+)", diff, flags=re.MULTILINE))
    product, test, traces = (changed_module(path, hunk) for path, hunk in hunks.items())
    [name] = product["LOSSES"].keys() - LOSSES.keys()
    losses, oracle = product["LOSSES"][name](LOGITS, TARGETS), test["ORACLES"][name](LOGITS, TARGETS)
    torch.testing.assert_close(losses.mean(), oracle)
    assert {"loss": name} in traces["CASES"].values()


def changed_module(path: str, hunk: str) -> dict[str, Any]:
    """Return the names of a module of this repository after a change."""
    lines = hunk.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" ", " +"))
    source = (ROOT / path).read_text()
    assert before in source
    namespace: dict[str, Any] = {"__name__": path, "__file__": str(ROOT / path)}
    exec(source.replace(before, after), namespace)
    return namespace


def test_a_config_is_made_without_torch() -> None:
    code = "import sys, revit.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
