"""Reading members of a tar archive in memory: nothing is unpacked to disk, so no path can lead astray."""

import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from revit.errors import InputError

MOST_BYTES = 1 << 30
"""No file that is read whole unpacks to more: one that would is a mistake, or was made to fill the memory."""
CHUNK = 1 << 20


class Readable(Protocol):
    """An open file."""

    def read(self, size: int, /) -> bytes:
        """As many bytes, or what is left; none at the end."""


def read_whole(file: Readable) -> bytes:
    """All that is left in an open file, which may be unpacked meanwhile.

    Raises:
        ValueError: that is more than MOST_BYTES.
    """
    content = bytearray()
    while chunk := file.read(CHUNK):
        content += chunk
        if len(content) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
    return bytes(content)


def read_members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """The content of the named files of a .tar.gz.

    Raises:
        InputError: the archive is torn, or lacks one of them.
    """
    wanted, found = set(names), dict[str, bytes]()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.name in wanted and member.isreg():
                    file = tar.extractfile(member)
                    assert file is not None, "a regular file"
                    found[member.name] = read_whole(file)
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{archive} is not a readable .tar.gz: {error}") from error
    missing = sorted(wanted - found.keys())
    if missing:
        raise InputError(f"{archive} lacks {len(missing)} of its files, first {missing[0]}")
    return found
