"""What one more trial on the same dataset costs in memory.

    python -m benchmarks memory

Two processes train the nano ViT on one image store. Counted is what the second adds to the memory of both, by
proportional set sizes, in which a page that processes share counts once among them: pages of its own, with model,
optimizer state, batches and whatever images it keeps to itself, and pages of the image store. Taken off is what a
process has that imported the same and did no more. The libraries' files are left out, as any process on the machine
that comes or goes with the same libraries would move their share. Needs Linux.
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
"""300 MB of pixels, in two epochs of which a trial touches nearly all."""
BATCH_SIZE, EPOCHS = 32, 2
ALLOWED = 60e6
"""Bytes beside model and optimizer state."""


class Added(NamedTuple):
    """What a process adds beside one that trains, in bytes.

    Attributes:
        bare: by one that has only imported.
        trial: by another that trains on the same images.
        state: of that, parameters and optimizer state.
        pixels: of the image store, that it has mapped and that lie in memory.
    """

    bare: int
    trial: int
    state: int
    pixels: int


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """The second trial, in a few rounds."""
    with tempfile.TemporaryDirectory() as name:
        store = synthetic_images(Path(name), (32, 32) if tiny else SIZE, 8 if tiny else NUM_IMAGES)
        rounds = [_add_processes(store) for _ in range(1 if tiny else ROUNDS)]
    shares = [(added.trial - added.bare) / (added.state + ALLOWED) for added in rounds]
    own, bare, pixels = (median(getattr(added, name) for added in rounds) / 1e6 for name in ("trial", "bare", "pixels"))
    return [
        BenchmarkResult(
            what="memory of one more trial on the same images, nano ViT",
            against=f"its model and optimizer state, {rounds[0].state / 1e6:.1f} MB, and {ALLOWED / 1e6:.0f} MB",
            ratio=median(shares),
            target=1.0,
            at_least=False,
            details=(
                f"{format_spread(shares)}; it adds {own:.0f} MB, {bare:.0f} MB of them by its imports; "
                f"the {pixels:.0f} MB of images that it reads are shared"
            ),
        )
    ]


def _add_processes(store: ImageStore) -> Added:
    """Beside a process that trains, start one that does nothing, and, once it is gone, another that trains."""
    images = store.folder / "pixels.bin"
    with _running(_train, store.folder) as (first, _):
        before = _memory(images, first)
        with _running(_idle, store.folder) as (idle, _):
            bare = _memory(images, first, idle) - before
        before = _memory(images, first)
        with _running(_train, store.folder) as (second, state):
            trial = _memory(images, first, second) - before
            pixels = _in_mapping(second, images, "Rss")
    return Added(bare, trial, state, pixels)


@contextmanager
def _running(work: Callable[[Connection, Path], None], images: Path) -> Iterator[tuple[int, int]]:
    """A fresh process that has done its work and stays as it is: its id, and what it told."""
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
    """Import, by being here, and wait."""
    boss.send(0)
    boss.recv()


def _train(boss: Connection, images: Path) -> None:
    """Train two epochs; wait at the last report, with all that a trial holds then."""
    torch.set_num_threads(1)
    store = ImageStore(images)
    config = FineTuneConfig(
        dataset=store.manifest.dataset, val_fraction=0.0, batch_size=BATCH_SIZE, epochs=EPOCHS, num_evals=1
    )

    def report(_: list[Row], state: TrainState) -> None:
        if state.step == state.schedule.num_steps:
            boss.send(_bytes_of(state))
            boss.recv()

    data = TrialData.from_store(config, store, find_weights(config.model))
    fine_tune(config, data, report, device=torch.device("cpu"))


def _bytes_of(state: TrainState) -> int:
    """Of parameters and optimizer state."""
    kept = [value for each in state.optimizer.state.values() for value in each.values() if torch.is_tensor(value)]
    return sum(tensor.nbytes for tensor in (*state.model.parameters(), *kept))


def _memory(images: Path, *processes: int) -> int:
    """Bytes that processes have in memory of their own and of a file of images; what they share of it counts once."""
    return sum(_anonymous(each) + _in_mapping(each, images, "Pss") for each in processes)


def _anonymous(process: int) -> int:
    """Bytes of a process's memory that are no file's: its heap, its stacks, and pages of files that it wrote to."""
    return _field(Path(f"/proc/{process}/smaps_rollup").read_text(), "Pss_Anon")


def _in_mapping(process: int, file: Path, field: str) -> int:
    """Bytes, as Linux counts `field`, of a file that a process has mapped; 0 where it has not."""
    mappings = Path(f"/proc/{process}/smaps").read_text().split("VmFlags:")
    return sum(_field(mapping, field) for mapping in mappings if str(file) in mapping)


def _field(mapping: str, name: str) -> int:
    """Bytes of a line such as `Pss:    512 kB`."""
    [line] = [line for line in mapping.splitlines() if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])
