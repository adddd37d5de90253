"""Every health check: of the machine, the input files, the store."""

from collections.abc import Iterator

from study.maintenance.checks import CheckResult
from study.maintenance.checks.input_files import check_datasets, check_weights
from study.maintenance.checks.machine import check_devices, check_disks, check_limits, check_versions
from study.maintenance.checks.store import check_server, check_storage, check_store
from study.plan import Folders


def diagnose(folders: Folders, *, fix: bool) -> Iterator[CheckResult]:
    """Run all checks, a line each.

    Args:
        fix: repair what is fixable; else nothing is changed.
    """
    yield from check_versions()
    yield from check_devices()
    yield from check_limits()
    yield from check_disks({"--store": folders.store, "--data-dir": folders.data, "--cache-dir": folders.cache})
    yield from check_storage(folders)
    yield from check_datasets(folders.cache, fix=fix)
    yield from check_weights()
    yield from check_server(folders, fix=fix) if folders.server else check_store(folders, fix=fix)
