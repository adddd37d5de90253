"""Inputs of trials that machines share by their digest: images, weights."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from revit.datasets.image_store import ImageStore
from revit.identity import name_test_set_digest
from revit.models.weights import PACKAGED, weights_digest, weights_file
from study.layout import INPUTS

if TYPE_CHECKING:
    from study.trial import Trial


class SharedInput(NamedTuple):
    """The images or the weights of a trial: a folder or a file, found by its digest.

    Attributes:
        path: where it is on the driver's machine.
        digest: `Manifest.digest` of images, `weights_digest` of weights.
    """

    kind: Literal["images", "weights"]
    path: Path
    digest: str

    @property
    def name(self) -> str:
        """Its name in a node's cache: the end says which format it has."""
        if self.kind == "images":
            return self.path.name  # with its digest
        return f"{self.path.stem}-{self.digest[:16]}{self.path.suffix}"

    @property
    def stored_name(self) -> str:
        """Its name in the storage."""
        return f"{INPUTS}/{self.name}"

    @property
    def is_packaged(self) -> bool:
        """True if every node has it with the code."""
        return self.path.parent == PACKAGED

    def places(self, cache: Path) -> list[Path]:
        """Return the paths where a node may have it, the one in its cache last."""
        if self.kind == "images":
            return [self.path, cache / self.name]
        return [self.path, PACKAGED / self.path.name, cache / "weights" / self.name]

    def find_fault(self, path: Path, *, thorough: bool = False) -> str:
        """Return why the input is not what is at a path, one line; empty if it is.

        Args:
            thorough: read all pixels of images.

        Raises:
            InputError: it is damaged.
            OSError: it cannot be read.
        """
        if not path.exists():
            return f"{path} does not exist"
        digest = _images_digest(path, thorough) if self.kind == "images" else _weights_digest(path)
        return "" if digest == self.digest else f"{path} has the digest {digest[:16]}, not {self.digest[:16]}"


def images_of(trial: "Trial") -> SharedInput:
    """Return the images of a trial that can run."""
    assert trial.images is not None
    return SharedInput("images", trial.images, trial.input_digests["data"])


def test_sets_of(trial: "Trial") -> dict[str, SharedInput]:
    """Return the images of a trial's further test sets, by label."""
    found = {}
    for label, folder in trial.test_sets.items():
        assert folder is not None
        found[label] = SharedInput("images", folder, trial.input_digests[name_test_set_digest(label)])
    return found


def weights_of(trial: "Trial") -> SharedInput | None:
    """Return the weights of a trial, None for none."""
    if trial.weights is None:
        return None
    return SharedInput("weights", weights_file(trial.weights), trial.input_digests["weights"])


def _images_digest(folder: Path, thorough: bool) -> str:
    store = ImageStore(folder)
    return store.compute_digest() if thorough else store.manifest.digest


def _weights_digest(path: Path) -> str:
    status = path.stat()
    return _digest_of_version(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _digest_of_version(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001  # these make another file of it
    digest = weights_digest(path)
    assert digest is not None
    return digest
