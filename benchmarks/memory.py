"""Memory of one more trial on the same dataset.

    python -m benchmarks memory

Two processes train the nano ViT on one image store. The benchmark counts the memory that the second process adds, by
proportional set size: a page that processes share counts once. Its own pages hold model, optimizer state, batches and
private images; the image store is shared. The memory of a process that only imports the same modules is subtracted.
Pages of library files are excluded: other processes of the machine change their share. Needs Linux.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.data_pipeline import synthetic_images
from benchmarks.ratios import BenchmarkResult, format_spread
from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.train_state import Row, TrainState

ROUNDS = 5
SIZE, NUM_IMAGES = (500, 600), 334
"""300 MB of pixels. A trial of two epochs touches nearly all of them."""
BATCH_SIZE, EPOCHS = 32, 2
MAX_OTHER_BYTES = 60e6
"""Bytes besides model and optimizer state."""


class AddedBytes(NamedTuple):
    """Bytes that a second process adds to one that trains.

    Attributes:
        bare: of a process that only imports.
        trial: of a process that trains on the same images.
        state: parameters and optimizer state of that process.
        pixels: mapped pages of the image store that are in memory.
    """

    bare: int
    trial: int
    state: int
    pixels: int


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure the second trial in a few rounds."""
    with tempfile.TemporaryDirectory() as name:
        store = synthetic_images(Path(name), (32, 32) if tiny else SIZE, 8 if tiny else NUM_IMAGES)
        rounds = [_add_processes(store) for _ in range(1 if tiny else ROUNDS)]
    shares = [(added.trial - added.bare) / (added.state + MAX_OTHER_BYTES) for added in rounds]
    own, bare, pixels = (median(getattr(added, name) for added in rounds) / 1e6 for name in ("trial", "bare", "pixels"))
    return [
        BenchmarkResult(
            what="memory of one more trial on the same images, nano ViT",
            against=f"model and optimizer state, {rounds[0].state / 1e6:.1f} MB, and {MAX_OTHER_BYTES / 1e6:.0f} MB",
            ratio=median(shares),
            target=1.0,
            at_least=False,
            details=(
                f"{format_spread(shares)}; it adds {own:.0f} MB, {bare:.0f} MB of them by its imports; "
                f"the {pixels:.0f} MB of images that it reads are shared"
            ),
        )
    ]


def _add_processes(store: ImageStore) -> AddedBytes:
    """Start a process that trains. Beside it, start an idle one, then another one that trains."""
    images = store.folder / "pixels.bin"
    with _running(_train, store.folder) as (first, _):
        before = _memory(images, first)
        with _running(_idle, store.folder) as (idle, _):
            bare = _memory(images, first, idle) - before
        before = _memory(images, first)
        with _running(_train, store.folder) as (second, state):
            trial = _memory(images, first, second) - before
            pixels = _in_mapping(second, images, "Rss")
    return AddedBytes(bare, trial, state, pixels)


@contextmanager
def _running(work: Callable[[Connection, Path], None], images: Path) -> Iterator[tuple[int, int]]:
    """Yield the id of a new process that has done its work and waits, with the number that it sent."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=work, args=(there, images))
    process.start()
    there.close()
    try:
        assert process.pid is not None
        yield process.pid, here.recv()
        here.send("go on")
    finally:
        here.close()
        process.join()


def _idle(boss: Connection, _: Path) -> None:
    """Import this module; wait."""
    boss.send(0)
    boss.recv()


def _train(boss: Connection, images: Path) -> None:
    """Train two epochs; wait in the last report, with all of the trial in memory."""
    torch.set_num_threads(1)
    store = ImageStore(images)
    config = FineTuneConfig(
        dataset=store.manifest.dataset, val_fraction=0.0, batch_size=BATCH_SIZE, epochs=EPOCHS, num_evals=1
    )

    def report(_: list[Row], state: TrainState) -> None:
        if state.step == state.schedule.budget.num_steps:
            boss.send(_bytes_of(state))
            boss.recv()

    data = TrialData.from_store(config, store, find_weights(config.model))
    fine_tune(config, data, report, device=torch.device("cpu"))


def _bytes_of(state: TrainState) -> int:
    """Return the bytes of parameters and optimizer state."""
    kept = [value for each in state.optimizer.state.values() for value in each.values() if torch.is_tensor(value)]
    return sum(tensor.nbytes for tensor in (*state.model.parameters(), *kept))


def _memory(images: Path, *processes: int) -> int:
    """Return the bytes of processes: anonymous memory, plus mapped images; shared pages count once."""
    return sum(_anonymous(each) + _in_mapping(each, images, "Pss") for each in processes)


def _anonymous(process: int) -> int:
    """Return the bytes of a process's anonymous memory: heap, stacks, modified pages of files."""
    return _field(Path(f"/proc/{process}/smaps_rollup").read_text(), "Pss_Anon")


def _in_mapping(process: int, file: Path, field: str) -> int:
    """Return the bytes of a mapped file, as Linux counts `field`; 0 if the process has not mapped it."""
    mappings = Path(f"/proc/{process}/smaps").read_text().split("VmFlags:")
    return sum(_field(mapping, field) for mapping in mappings if str(file) in mapping)


def _field(mapping: str, name: str) -> int:
    """Return the bytes of a line such as `Pss:    512 kB`."""
    [line] = [line for line in mapping.splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
