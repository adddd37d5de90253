"""Members of a tar archive, read in memory: nothing is unpacked to disk, so no path in it can escape."""

import tarfile
import zlib
from collections.abc import Collection
from gzip import GzipFile
from pathlib import Path
from typing import IO

from revit.errors import InputError

MAX_UNPACKED_BYTES = 1 << 30
"""A file that unpacks to more is refused: it is a mistake, or made to fill the memory."""
CHUNK_BYTES = 1 << 20


def read_whole(file: IO[bytes] | GzipFile) -> bytes:
    """Read the rest of an open file, unpacking it if it is compressed.

    Raises:
        ValueError: there is more than MAX_UNPACKED_BYTES.
    """
    content = bytearray()
    while chunk := file.read(CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    return bytes(content)


def read_members(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the content of the named files of a .tar.gz.

    Raises:
        InputError: the archive is damaged, or lacks one of them.
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
