"""`fetch` against a site that speaks as the Hugging Face hub does, through the real client."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import zeros

REPO = "timm/vit_base_patch16_224.orig_in21k"
COMMIT = "c0ffee" + 34 * "0"
FETCH = """
import sys
from pathlib import Path
from rich.console import Console
from revit.config import FineTuneConfig, ModelConfig
from search_spaces.space import SearchSpace
from study.fetch import fetch

space = SearchSpace(
    name="asks", question="?", scientific={"optimizer.lr": (0.1,)},
    base=FineTuneConfig(dataset="digits", resolution=224, steps=1, model=ModelConfig(name="vit_b16_in21k")),
)
for need in fetch(space, Path(sys.argv[1]), Console()):
    print(need.here, need.what, need.advice)
"""


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    save_file({"w": zeros(1000)}, tmp_path / "w.safetensors")
    return (tmp_path / "w.safetensors").read_bytes()


def run_fetch(tmp_path: Path, **environment: str) -> str:
    env = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1", **environment}
    env.pop("REVIT_WEIGHTS_DIR", None)
    done = subprocess.run([sys.executable, "-c", FETCH, str(tmp_path)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hub(serve: Callable[..., Any], content: bytes, digest: str) -> Any:
    path = f"/{REPO}/resolve/main/model.safetensors"
    return serve({path: content}, {path: {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}})


def blobs(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "hub").glob("**/blobs/*"))


def test_weights_come_from_the_hub_once_and_then_lie_here(
    serve: Callable[..., Any], tmp_path: Path, weights: bytes
) -> None:
    site = hub(serve, weights, hashlib.sha256(weights).hexdigest())
    assert "True weights of vit_b16_in21k" in run_fetch(tmp_path, HF_ENDPOINT=site.url)
    [blob] = blobs(tmp_path)
    assert blob.read_bytes() == weights
    asked = len(site.requests)
    assert "True weights of vit_b16_in21k" in run_fetch(tmp_path, HF_ENDPOINT=site.url)
    assert len(site.requests) == asked


def test_weights_that_arrive_changed_are_not_kept(serve: Callable[..., Any], tmp_path: Path, weights: bytes) -> None:
    site = hub(serve, weights[:-4] + b"\1\1\1\1", hashlib.sha256(weights).hexdigest())
    output = run_fetch(tmp_path, HF_ENDPOINT=site.url)
    assert "False weights of vit_b16_in21k model.safetensors has the SHA-256" in output
    assert "what was sent is deleted" in output
    assert blobs(tmp_path) == []


def test_without_network_it_says_what_to_get_and_where_to_put_it(tmp_path: Path) -> None:
    output = run_fetch(tmp_path, HF_HUB_OFFLINE="1")
    assert "True dataset digits" in output
    url = f"https://huggingface.co/{REPO}/resolve/main/model.safetensors"
    assert f"by hand: {url} -> vit_b16_in21k.safetensors in the folder of --weights-dir" in output
