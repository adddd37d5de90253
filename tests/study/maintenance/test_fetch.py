"""`fetch` against a site that speaks as the Hugging Face hub does, through the real client."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import logging
from PIL import Image
from pyarrow import parquet
from rich.console import Console
from safetensors.torch import save_file
from torch import zeros

import run_study
from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.image_store import open_store
from revit.datasets.registry import SPECS
from revit.models.weights import WEIGHTS_DIR_VARIABLE
from search_spaces.framework.space import SearchSpace
from study.maintenance.fetch import fetch, find_missing
from tests.command_line import write_study

REPO = "timm/vit_base_patch16_224.orig_in21k"
COMMIT = "c0ffee" + 34 * "0"
PLANTS = "swueste/plants"
VIT = "vit_b16_in21k"
TEMPLATE = "{repo_id}/resolve/{revision}/{filename}"
"""The hub's addresses of files."""


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    save_file({"w": zeros(1000)}, tmp_path / "w.safetensors")
    return (tmp_path / "w.safetensors").read_bytes()


@pytest.fixture
def run_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., str]]:
    """Fetch a dataset, and the weights of a model, from a site in the hub's place; return what is printed."""
    monkeypatch.delenv(WEIGHTS_DIR_VARIABLE, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_warning()  # as in a process of its own

    def run(dataset: str, model: str | None = None, *, endpoint: str | None = None) -> str:
        """Endpoint: address of the site; None for a client that is offline."""
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", endpoint is None)
        address = endpoint or "https://huggingface.co"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{TEMPLATE}")
        space = space_of(dataset, **({"name": model} if model else {"pretrained": False}))
        for each in fetch([space], tmp_path, Console()):
            print("present" if each.is_present else "missing", each.name, each.advice)
        shown = capfd.readouterr()
        assert "etrying" not in shown.err, "the hub's client logs each try"
        return shown.out

    yield run
    logging.set_verbosity(verbosity)


def hub(serve: Callable[..., Any], content: bytes, digest: str) -> Any:
    path = f"/{REPO}/resolve/main/model.safetensors"
    return serve({path: content}, {path: {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}})


def blobs(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "hub").glob("**/blobs/*"))


def test_weights_are_downloaded_once(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path, weights: bytes
) -> None:
    site = hub(serve, weights, hashlib.sha256(weights).hexdigest())
    assert "present weights of vit_b16_in21k" in run_fetch("digits", VIT, endpoint=site.url)
    [blob] = blobs(tmp_path)
    assert blob.read_bytes() == weights
    num_requests = len(site.requests)
    assert "present weights of vit_b16_in21k" in run_fetch("digits", VIT, endpoint=site.url)
    assert len(site.requests) == num_requests


def test_requests_to_a_busy_hub_are_retried_silently(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path, weights: bytes
) -> None:
    site = hub(serve, weights, hashlib.sha256(weights).hexdigest())
    site.num_busy = 2  # after a first refusal the client changes its request before it retries
    assert "present weights of vit_b16_in21k" in run_fetch("digits", VIT, endpoint=site.url)
    assert len(site.requests) > 1


def test_corrupted_weights_are_deleted(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path, weights: bytes
) -> None:
    site = hub(serve, weights[:-4] + b"\1\1\1\1", hashlib.sha256(weights).hexdigest())
    output = run_fetch("digits", VIT, endpoint=site.url)
    assert "missing weights of vit_b16_in21k model.safetensors has the SHA-256" in output
    assert "the download was deleted" in output
    assert blobs(tmp_path) == []


def test_without_network_the_manual_download_is_shown(run_fetch: Callable[..., str], tmp_path: Path) -> None:
    output = run_fetch("digits", VIT)
    assert "present dataset digits" in output
    url = f"https://huggingface.co/{REPO}/resolve/main/model.safetensors"
    assert f"manual download: {url} -> vit_b16_in21k.safetensors in the folder of --weights-dir" in output


def table(numbers: range) -> bytes:
    """A parquet file of small images with three classes."""
    images = []
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(pixels).save(file, "png")
        images.append({"bytes": file.getvalue(), "path": f"{number}.png"})
    out = BytesIO()
    parquet.write_table(pa.table({"image": images, "label": [number % 3 for number in numbers]}), out)
    return out.getvalue()


TABLES = {"default/train/0000.parquet": table(range(30)), "default/test/0000.parquet": table(range(30, 36))}
OTHERS = {"default/validation/0000.parquet": table(range(36, 39)), "README.md": b"A card."}


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def dataset_hub(serve: Callable[..., Any], sent: dict[str, bytes], *, lfs: bool = True, **behavior: Any) -> Any:
    """Serve a hub with one dataset; it states the digests of TABLES and OTHERS whatever it sends."""
    stated = TABLES | OTHERS
    tree = []
    headers = {}
    for name, content in stated.items():
        entry = {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
        sha256 = hashlib.sha256(content).hexdigest()
        if lfs:
            entry |= {"oid": git_sha1(b"a pointer"), "lfs": {"oid": sha256, "size": len(content), "pointerSize": 130}}
        tree.append(entry)
        etag = sha256 if lfs else git_sha1(content)
        headers[f"/datasets/{PLANTS}/resolve/{COMMIT}/{name}"] = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
    pages = {
        f"/api/datasets/{PLANTS}/revision/refs%2Fconvert%2Fparquet": {"id": PLANTS, "sha": COMMIT, "siblings": []},
        f"/api/datasets/{PLANTS}/tree/{COMMIT}": tree,
    }
    files = {path: json.dumps(page).encode() for path, page in pages.items()}
    files |= {f"/datasets/{PLANTS}/resolve/{COMMIT}/{name}": content for name, content in sent.items()}
    return serve(files, headers, **behavior)


@pytest.mark.parametrize("lfs", [True, False])
def test_a_dataset_is_downloaded_once_and_can_be_read(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path, lfs: bool
) -> None:
    site = dataset_hub(serve, TABLES | OTHERS, lfs=lfs)
    assert "present dataset plant_health" in run_fetch("plant_health", endpoint=site.url)
    for name, content in TABLES.items():
        assert (tmp_path / "plant_health" / name).read_bytes() == content
    assert not list(tmp_path.glob("*.partial"))
    store = open_store("plant_health", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert (store.manifest.num_train, store.manifest.num_test) == (30, 6)
    num_requests = len(site.requests)
    assert "present dataset plant_health" in run_fetch("plant_health", endpoint=site.url)
    assert len(site.requests) == num_requests


@pytest.mark.parametrize(("lfs", "kind"), [(True, "sha256"), (False, "git-sha1")])
def test_a_corrupted_table_is_deleted_and_the_others_are_kept(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path, lfs: bool, kind: str
) -> None:
    name = "default/train/0000.parquet"
    changed = TABLES[name][:-1] + b"!"
    site = dataset_hub(serve, TABLES | OTHERS | {name: changed}, lfs=lfs)
    output = run_fetch("plant_health", endpoint=site.url)
    assert f"missing dataset plant_health {name} has the {kind}" in output
    assert "the download was deleted" in output
    assert not (tmp_path / "plant_health").exists()
    [partial] = tmp_path.glob("plant_health.*.partial")
    assert not (partial / name).exists()
    site.files = dict(site.files) | {f"/datasets/{PLANTS}/resolve/{COMMIT}/{name}": TABLES[name]}
    site.requests.clear()
    assert "present dataset plant_health" in run_fetch("plant_health", endpoint=site.url)
    got = [path for method, path, _ in site.requests if method == "GET" and "/resolve/" in path]
    assert got == [f"/datasets/{PLANTS}/resolve/{COMMIT}/{name}"]
    assert not partial.exists()


def test_a_download_resumes_with_the_missing_tables(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path
) -> None:
    """The second table is unavailable at first: the first is kept, but not under the dataset's name."""
    train, test = TABLES
    site = dataset_hub(serve, OTHERS | {train: TABLES[train]})
    output = run_fetch("plant_health", endpoint=site.url)
    assert f"missing dataset plant_health {PLANTS} cannot be fetched: An error happened" in output
    assert not (tmp_path / "plant_health").exists()
    offline = run_fetch("plant_health")
    assert "missing dataset plant_health" in offline, "a part is not taken for the whole"
    site.files = dict(site.files) | {f"/datasets/{PLANTS}/resolve/{COMMIT}/{test}": TABLES[test]}
    site.requests.clear()
    assert "present dataset plant_health" in run_fetch("plant_health", endpoint=site.url)
    got = [path for method, path, _ in site.requests if method == "GET" and "/resolve/" in path]
    assert got == [f"/datasets/{PLANTS}/resolve/{COMMIT}/{test}"]


@pytest.mark.slow  # the hub's client waits between its tries
def test_an_interrupted_download_is_one_line_and_leaves_no_table(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path
) -> None:
    site = dataset_hub(serve, TABLES | OTHERS, break_off_after=50_000)
    output = run_fetch("plant_health", endpoint=site.url)
    assert f"missing dataset plant_health {PLANTS} cannot be fetched: peer closed connection" in output
    assert len(output.splitlines()) == 2
    [partial] = tmp_path.glob("plant_health.*.partial")
    assert not (partial / "default/train/0000.parquet").exists()
    site.break_off_after = None
    assert "present dataset plant_health" in run_fetch("plant_health", endpoint=site.url)


def test_a_folder_with_other_files_is_left_alone(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path
) -> None:
    mine = tmp_path / "plant_health" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("notes")
    site = dataset_hub(serve, TABLES)
    output = run_fetch("plant_health", endpoint=site.url)
    assert f"{mine.parent} exists, but does not hold this dataset: move it away" in output
    assert mine.read_text() == "notes"
    assert site.requests == []


def test_a_repository_without_tables_is_reported(
    run_fetch: Callable[..., str], serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLES, "default/train/0000.parquet", b"")
    for name in list(TABLES):
        monkeypatch.delitem(TABLES, name)
    monkeypatch.delitem(OTHERS, "default/validation/0000.parquet")
    site = dataset_hub(serve, OTHERS)
    output = run_fetch("plant_health", endpoint=site.url)
    assert f"missing dataset plant_health {PLANTS} has no files *.parquet on refs/convert/parquet" in output


@pytest.mark.parametrize(
    ("dataset", "advice"),
    [
        (
            "plant_health",
            "https://huggingface.co/datasets/swueste/plants/tree/refs%2Fconvert%2Fparquet, "
            "its files *.parquet in their folders -> {data_dir}/plant_health",
        ),
        (
            "flowers102_nelorth",
            "https://huggingface.co/datasets/nelorth/oxford-flowers/tree/main, "
            "its files *.parquet in their folders -> {data_dir}/flowers102_nelorth",
        ),
        (
            "brain_tumor_mri",
            "https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset (after a login), "
            "unpacked -> {data_dir}/brain_tumor_mri",
        ),
    ],
)
def test_a_dataset_that_cannot_be_downloaded_is_shown_with_its_page_and_folder(
    run_fetch: Callable[..., str], tmp_path: Path, dataset: str, advice: str
) -> None:
    output = run_fetch(dataset)
    assert f"missing dataset {dataset} " in output
    assert f"  manual download: {advice.format(data_dir=tmp_path)}\n" in output
    assert list(tmp_path.iterdir()) == [tmp_path / "hub"] or not list(tmp_path.iterdir())


def test_an_unreachable_server_is_one_line(run_fetch: Callable[..., str], tmp_path: Path, free_port: int) -> None:
    output = run_fetch("weapons", endpoint=f"http://127.0.0.1:{free_port}")
    assert "missing dataset weapons Besedo/artificial_weapon cannot be fetched: " in output
    assert len(output.splitlines()) == 2


def space_of(dataset: str, **model: Any) -> SearchSpace:
    base = FineTuneConfig(dataset=dataset, resolution=224, steps=1, model=ModelConfig(**model))
    return SearchSpace(name="asks", question="?", scientific={"optimizer.lr": (0.1,)}, base=base)


def test_missing_requirements_are_returned_without_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIT_WEIGHTS_DIR", str(tmp_path))
    assert find_missing(space_of("digits", pretrained=False), tmp_path) == []
    absent = find_missing(space_of("cifar10", name="vit_b16_in21k"), tmp_path)
    assert [each.name for each in absent] == ["dataset cifar10", "weights of vit_b16_in21k"]
    assert not any(each.is_present for each in absent)
    assert absent[0].advice.startswith(f"searched {tmp_path}/cifar-10-python.tar.gz"), "and not its name once more"
    assert list(tmp_path.iterdir()) == []


def test_a_further_test_set_is_fetched_with_the_dataset(tmp_path: Path) -> None:
    base = space_of("digits", pretrained=False).base.with_values({"test_sets": ("cifar10.1", "mnist_5k", "folder:/no")})
    space = SearchSpace(name="asks", question="?", scientific={"optimizer.lr": (0.1,)}, base=base)
    first, second = find_missing(space, tmp_path)
    assert (first.name, first.is_fetchable) == ("dataset cifar10.1", True)
    assert "CIFAR-10.1/cifar10.1_v6_data.npy" in first.advice
    assert (second.name, second.is_fetchable, second.advice) == (
        "dataset folder:/no", False, "dataset folder:/no: there is no such folder"
    )  # fmt: skip


def test_run_names_what_is_missing_and_the_command_that_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = "dataset='cifar10', resolution=224, steps=1, model=ModelConfig(name='vit_b16_in21k')"
    file = write_study(tmp_path / "asks.py", base=base, scientific={"dataset": ("cifar10", "digits", "cifar100")})
    folders = [f"--{name}-dir={tmp_path}" for name in ("data", "weights", "cache")]
    monkeypatch.setattr("sys.argv", ["run_study.py", "run", file, "--store", str(tmp_path / "mlruns"), *folders])
    monkeypatch.setenv("REVIT_WEIGHTS_DIR", "")  # which the command sets, and the test takes back
    with pytest.raises(SystemExit) as ended:
        run_study.main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: dataset cifar10 not found: searched {tmp_path}/")
    assert re.search(rf"; get it with `\S+ \S*run_study.py fetch {re.escape(file)} --data-dir \S+ .*`$", line)


def test_a_requirement_of_several_spaces_is_fetched_once(tmp_path: Path) -> None:
    spaces = [space_of("digits", pretrained=False), space_of("photos", pretrained=False)]
    requirements = list(fetch([*spaces, spaces[0]], tmp_path, Console()))
    assert [each.name for each in requirements] == ["dataset digits", "dataset photos"]
    assert all(each.is_present for each in requirements)


def test_every_dataset_is_packaged_or_has_a_source() -> None:
    packaged = {"digits", "mnist_5k", "faces", "textures", "specimens", "photos"}
    for name, spec in SPECS.items():
        ways = [bool(spec.files), spec.hub is not None, bool(spec.page)]
        assert sum(ways) == (name not in packaged), name
