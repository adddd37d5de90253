"""Check that trials have identities of this version; converts those of the version before from their params."""

import ast
from collections.abc import Iterator, Mapping

from revit.budget import compile_budget
from revit.config import FineTuneConfig, from_dict
from revit.errors import InputError
from revit.fields import fields_by_path
from revit.identity import TRAINING_VERSION, InputDigests, identity
from study.inputs import Inputs
from study.layout import LOCKS, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import TrialRecord, TrialUpdate
from study.ledger.schema import DIGEST_PREFIX, IDENTITY_TAG
from study.maintenance.checks import CheckResult, fixable
from study.plan import Folders

RENAMED = {"schedule.warmup_steps": "schedule.warmup"}
"""New path of each renamed config field. Fields that the version before did not have get their default."""
SPLITS = f"{DIGEST_PREFIX}splits"
DATA = f"{DIGEST_PREFIX}data"
"""Tags of the digests of a trial's splits, which the version before did not write, and of its images."""


def check_identities(ledger: Ledger, folders: Folders, *, fix: bool) -> Iterator[CheckResult]:
    """Find trials whose identity is of the version before, which `run` would train again.

    The fix gives them their new one. Of two trials that now are one, the one that got further is kept. A trial that is
    not finished begins again.
    """
    inputs = Inputs(folders.open_images, ())
    for record in ledger.trials().values():
        if SPLITS in record.tags or DATA not in record.tags:
            continue
        try:
            config = _config_of(record.params)
            digests, new = _new_identity(record, config, inputs)
        except InputError as error:
            text = f"trial {record.identity} has the identity of an earlier version, and cannot get a new one: {error}"
            yield CheckResult("warn", f"store: {text}")
            continue
        fixed = fix and _convert(record, config, digests, new, ledger)
        yield fixable(f"store: trial {record.identity} has the identity of an earlier version; now {new}", fixed=fixed)


def _config_of(params: Mapping[str, str]) -> FineTuneConfig:
    """Return the config that was logged as params.

    Raises:
        InputError: a field is missing or unknown, or a value is not valid any more.
    """
    known = fields_by_path(FineTuneConfig)
    nested: dict[str, object] = {}
    for path, text in params.items():
        path = RENAMED.get(path, path)
        part, _, name = path.rpartition(".")
        target = nested.setdefault(part, {}) if part else nested
        assert isinstance(target, dict)
        target[name] = text if path in known and known[path].kind == "text" else _parsed(text)
    return from_dict(nested)


def _parsed(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _new_identity(record: TrialRecord, config: FineTuneConfig, inputs: Inputs) -> tuple[InputDigests, str]:
    """Return the digests and the identity of a recorded trial.

    Raises:
        InputError: its images are not on this machine, or they or the training code have changed since.
    """
    tags = {name: record.tags.get(f"{DIGEST_PREFIX}{name}") for name in ("data", "weights", "training version")}
    if tags["training version"] != str(TRAINING_VERSION):
        raise InputError(f"it was trained by training version {tags['training version']}, now {TRAINING_VERSION}")
    images = inputs.images(config)
    if images.digest != tags["data"]:
        raise InputError(f"the images of {config.dataset} have changed since")
    weights = None if tags["weights"] == "none" else tags["weights"]
    digests = images.digests(config, weights)
    return digests, identity(config, compile_budget(config, images.num_train, images.num_all), digests)


def _convert(record: TrialRecord, config: FineTuneConfig, digests: InputDigests, new: str, ledger: Ledger) -> bool:
    """Give a trial its new identity; return whether that was possible: a launch may be training it."""
    locks, names = Locks(ledger.root / LOCKS), {record.identity, new}
    taken = [name for name in names if locks.acquire(name)]
    is_free = len(taken) == len(names) and not (ledger.server and any(map(ledger.launches.lock_holders, names)))
    if is_free:
        params = {path: value for path, value in config.flat().items() if path not in record.params}
        tags = {IDENTITY_TAG: new, SPLITS: digests.splits}
        ledger.storage.delete(f"{WORK}/{record.identity}")  # its checkpoint has another form
        ledger.log(record.run_id, TrialUpdate(config=params, tags=tags))
        ledger.runs.merge_duplicates(new)
    for name in taken:
        locks.release(name)
    return is_free
