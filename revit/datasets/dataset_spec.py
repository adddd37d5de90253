"""The description of a dataset as its publisher gives it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download.

    Attributes:
        path: relative to the dataset directory.
        md5: digest, as its publisher states it; empty where only a SHA-256 is known.
        sha256: in its place.
    """

    url: str
    path: str
    md5: str = ""
    sha256: str = ""

    @property
    def checksum(self) -> tuple[str, str]:
        """Return the name of its digest's algorithm, as hashlib has it, and the digest."""
        return ("md5", self.md5) if self.md5 else ("sha256", self.sha256)


@dataclass(frozen=True, kw_only=True)
class HubDataset:
    """Parquet tables to download from a dataset repository of the Hugging Face hub.

    Attributes:
        repo: owner/name.
        revision: branch. The hub keeps every public dataset on `refs/convert/parquet`, too, in the splits that its
            viewer shows and `load_dataset` returns.
    """

    repo: str
    revision: str = "main"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset as its publisher describes it.

    Attributes:
        num_train, num_test: images in its own splits; a test set has no training images.
        tiny: whether its images have fewer than 96 x 96 pixels.
        files: to download; empty for a dataset in an installed package.
        hub: the repository to download instead, into the folder `name`.
        page: for a manual download.
        folder: of a manual download; empty where it is `name`.
        is_kept_encoded: whether the image store keeps each image in its file format, whatever its size: the pixels of
            all would not fit on most disks.
        original: dataset whose test images these are, changed, in the same order; empty for images of its own.
        caveat: what a reader of results should know about the data; may be empty.
    """

    name: str
    title: str
    num_classes: int
    num_train: int
    num_test: int
    tiny: bool = False
    source: str
    license: str
    files: tuple[RemoteFile, ...] = ()
    hub: HubDataset | None = None
    page: str = ""
    folder: str = ""
    is_kept_encoded: bool = False
    original: str = ""
    caveat: str = ""
