"""Reading members of a tar archive in memory: nothing is unpacked to disk, so no path can lead astray."""

import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path

from revit.errors import InputError


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
                    found[member.name] = file.read()
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{archive} is not a readable .tar.gz: {error}") from error
    missing = sorted(wanted - found.keys())
    if missing:
        raise InputError(f"{archive} lacks {len(missing)} of its files, first {missing[0]}")
    return found
