"""Damaged or malicious weights: each file is read, or refused in one line without executing anything."""

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import load_file
from safetensors.torch import save as save_safetensors

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.models.build import check_model
from revit.models.weight_formats import FORMATS, read_checkpoint
from revit.models.weights import PACKAGED
from revit.training.train_state import latest_valid_checkpoint
from tests.revit.models.jax_arrays import BitSize, VitSize, bit_shapes, random_arrays, vit_shapes

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and numpy warn about damaged files before they raise
WIDTH = 4
QKV = ("query", "key", "value")


def jax_vit() -> dict[str, np.ndarray]:
    """A ViT of one layer as Google published them."""
    return random_arrays(vit_shapes(VitSize(WIDTH, 1, heads=2, hidden=6, patch=2, grid=2, num_labels=5)), std=0)


def jax_bit() -> dict[str, np.ndarray]:
    return random_arrays(bit_shapes(BitSize(units=(1,), channels=(4,), stem=4, num_labels=5)), std=0)


def transformers_vit() -> dict[str, torch.Tensor]:
    layer = "vit.encoder.layer.0"
    return {
        "vit.embeddings.patch_embeddings.projection.weight": torch.zeros(WIDTH, 3, 2, 2),
        f"{layer}.layernorm_before.weight": torch.zeros(WIDTH),
        **{f"{layer}.attention.attention.{name}.weight": torch.zeros(WIDTH, WIDTH) for name in QKV},
        "classifier.bias": torch.zeros(5),
    }


def npz_of(arrays: dict[str, Any], *, packed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


def safetensors_of(tensors: dict[str, torch.Tensor]) -> bytes:
    return save_safetensors({name: tensor.clone() for name, tensor in tensors.items()})


def pytorch_of(content: object, *, as_zip: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=as_zip)
    return file.getvalue()


WHOLE = {
    "vit.npz": npz_of(jax_vit()),
    "packed.npz": npz_of(jax_vit(), packed=True),
    "bit.npz": npz_of(jax_bit()),
    "vit.safetensors": save_safetensors(transformers_vit()),
    "vit.pth": pytorch_of({"model": transformers_vit()}),
    "old.pth": pytorch_of({"state_dict": transformers_vit()}, as_zip=False),
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, bytes], dict[str, torch.Tensor] | None]:
    """Read a file of this name and content: tensors, or None where it is refused."""

    def run(name: str, content: bytes) -> dict[str, torch.Tensor] | None:
        path = tmp_path / name
        path.write_bytes(content)
        try:
            tensors = read_checkpoint(path)
        except InputError as error:
            assert str(error).isprintable()
            return None
        assert all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in tensors.items())
        return tensors

    return run


Reader = Callable[[str, bytes], dict[str, torch.Tensor] | None]


@pytest.mark.parametrize("name", WHOLE)
def test_undamaged_weights_are_read(read: Reader, name: str) -> None:
    assert read(name, WHOLE[name])


@pytest.mark.parametrize("name", WHOLE)
def test_damaged_weights_are_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Reader, name: str
) -> None:
    fuzz(40, lambda content: read(name, content), damaged(WHOLE[name]))


@pytest.mark.parametrize("name", ["vit.npz", "vit.pth"])
def test_weights_damaged_below_the_checksums_are_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Reader, name: str
) -> None:
    with zipfile.ZipFile(io.BytesIO(WHOLE[name])) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    inside = (
        "embedding/kernel.npy" if name == "vit.npz" else next(each for each in members if each.endswith("data.pkl"))
    )

    def check(content: bytes) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for each, whole in (members | {inside: content}).items():
                archive.writestr(each, whole)
        read(name, file.getvalue())

    fuzz(80, check, damaged(members[inside][:300]).map(lambda start: start + members[inside][300:]))


def test_random_arrays_are_read_or_refused(fuzz: Callable[..., None], read: Reader) -> None:
    whole = jax_vit() | jax_bit()
    odd = st.sampled_from([
        np.zeros(()), np.zeros(0), np.zeros((1, 2, 3)), np.array("text"), np.array([1j]), np.array(["a", "b"]),
        np.zeros(2, dtype=[("a", "f4")]), np.array([True]), np.zeros((2, 2, 2, 2, 2), np.float16), None,
    ])  # fmt: skip

    def check(name: str, array: np.ndarray | None, big_vision: bool, only_bit: bool) -> None:
        arrays = {key: value for key, value in whole.items() if not only_bit or key.startswith("resnet")}
        arrays |= {} if array is None else {name: array}
        prefix = "params/" if big_vision else ""
        read(
            "vit.npz",
            npz_of({prefix + key: value for key, value in arrays.items() if key != name or array is not None}),
        )

    fuzz(80, check, st.sampled_from([*whole, "pos_embedding"]), odd, st.booleans(), st.booleans())


def test_random_pytorch_files_are_read_or_refused(fuzz: Callable[..., None], read: Reader) -> None:
    tensors = st.sampled_from([torch.zeros(2), torch.zeros(()), torch.zeros(3, 3), torch.zeros(0)])
    keys = st.sampled_from([*transformers_vit(), "state_dict", "model", 1, None, (2, 3), "a\nb"])
    leaves = (
        tensors | st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(list(transformers_vit().values()))
    )
    held = st.recursive(leaves, lambda each: st.dictionaries(keys, each, max_size=4) | st.lists(each, max_size=2))
    fuzz(80, lambda content: read("vit.pth", pytorch_of(content)), held)

    def check(changed: dict[str, torch.Tensor]) -> None:
        read("vit.safetensors", safetensors_of(transformers_vit() | changed))

    fuzz(40, check, st.dictionaries(st.sampled_from(list(transformers_vit())), tensors, max_size=4))


def test_random_tensors_fit_a_model_or_are_refused(fuzz: Callable[..., None], tmp_path: Path) -> None:
    config = FineTuneConfig(dataset="digits", steps=1)
    whole = load_file(PACKAGED / "vit_nano.safetensors")
    path = tmp_path / "w.safetensors"
    shapes = st.sampled_from(
        [(), (0,), (1,), (1, 50), (64,), (1, 0, 64), (1, 1, 64), (1, 2, 64), (1, 10, 64), (2, 50, 64)]
    )
    dtypes = st.sampled_from([torch.float32, torch.int64, torch.bool, torch.float16, torch.complex64])
    tensors = st.builds(lambda shape, dtype: torch.zeros(shape, dtype=dtype), shapes, dtypes)
    names = st.sampled_from([*whole, "pos_embed", "dist_token", "patch_embed.proj.weight", "head.weight"])

    def check(changed: dict[str, torch.Tensor], resolution: int, how: str) -> None:
        path.write_bytes(safetensors_of(whole | changed))
        asked = config.with_values({"resolution": resolution, "model.pos_embed_resize": how})
        try:
            check_model(asked, path)
        except InputError as error:
            assert str(error).isprintable()

    resizes = st.sampled_from(["timm", "jax", "hf"])
    fuzz(40, check, st.dictionaries(names, tensors, max_size=2), st.sampled_from([4, 28, 56]), resizes)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [*FORMATS, ".pkl", ""])
def test_a_malicious_pickle_is_refused_under_every_suffix(read: Reader, tmp_path: Path, suffix: str) -> None:
    harm = tmp_path / "harm"
    for protocol in range(6):
        assert read(f"w{suffix}", pickle.dumps({"w": Bomb(harm)}, protocol)) is None
    for as_zip in (True, False):
        assert read(f"w{suffix}", pytorch_of({"w": Bomb(harm)}, as_zip=as_zip)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read(f"w{suffix}", npz_of({**jax_vit(), "cls": np.array([Bomb(harm)], dtype=object)})) is None
    assert not harm.exists()


def test_a_damaged_checkpoint_is_valid_or_ignored(
    fuzz: Callable[..., None], damaged: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        assert latest_valid_checkpoint(path) in (path, None)

    fuzz(80, check, damaged(WHOLE["vit.pth"]) | damaged(WHOLE["packed.npz"]))
