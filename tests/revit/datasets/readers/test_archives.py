"""Archives that are damaged or made to harm: nothing is written outside of them."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from revit.datasets.image_store import ImageStore
from revit.datasets.readers.cifar import CIFAR10
from tests.revit.datasets.sample_files import cifar_contents, cut, packed, tar_of


@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_damaged_archive_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None]
) -> None:
    whole = tar_of(cifar_contents())
    fuzz(15, lambda content: read("cifar10", {CIFAR10.archive: content}), damaged(packed(whole)))
    fuzz(15, lambda content: read("cifar10", {CIFAR10.archive: packed(content)}), damaged(whole))
    head, rest = cut(whole, 512)
    fuzz(15, lambda content: read("cifar10", {CIFAR10.archive: packed(content + rest)}), damaged(head))


INSTEAD_OF_ONE = "cifar-10-batches-py/data_batch_1"
LEADS_ASTRAY = {
    "a path upwards": {"name": "../outside"},
    "an absolute path": {"name": "ABSOLUTE"},
    "a link to elsewhere": {"name": INSTEAD_OF_ONE, "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "a second name of a file": {"name": INSTEAD_OF_ONE, "type": tarfile.LNKTYPE, "linkname": "../outside"},
    "a device": {"name": INSTEAD_OF_ONE, "type": tarfile.CHRTYPE},
    "a pipe": {"name": INSTEAD_OF_ONE, "type": tarfile.FIFOTYPE},
    "a folder": {"name": INSTEAD_OF_ONE, "type": tarfile.DIRTYPE},
}


@pytest.mark.parametrize("case", LEADS_ASTRAY)
def test_a_member_that_points_outside_the_archive_is_ignored(
    read: Callable[..., ImageStore | None], tmp_path: Path, case: str
) -> None:
    member = tarfile.TarInfo()
    for field, value in LEADS_ASTRAY[case].items():
        setattr(member, field, str(tmp_path / "outside") if value == "ABSOLUTE" else value)
    rest = {name: content for name, content in cifar_contents().items() if name != member.name}
    archive = packed(member.tobuf(tarfile.GNU_FORMAT) + tar_of(rest))
    whole = read("cifar10", {CIFAR10.archive: archive})
    assert (whole is None) == (member.name == INSTEAD_OF_ONE), "one that nobody asked for is left alone"
    assert not list(tmp_path.rglob("outside"))


def test_a_member_larger_than_memory_is_refused(read: Callable[..., ImageStore | None]) -> None:
    member = tarfile.TarInfo(INSTEAD_OF_ONE)
    for size in (1 << 33, 1 << 40, 1 << 60):
        member.size = size
        archive = packed(member.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
        assert read("cifar10", {CIFAR10.archive: archive}) is None
