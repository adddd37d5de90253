"""The folder of an exported model, written whole or not at all.

model.safetensors          weights
config.json                architecture, class names, preprocessing, as timm or transformers read them
preprocessor_config.json   preprocessing, as transformers reads it
model.pt2                  program from pixels to logits, as torch alone loads it
README.md                  model card
export.json                the trial: identity, study, cell, seed, config, metrics, versions
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from revit.errors import InputError
from study.export.card import Card, write_card
from study.export.exported_program import write_program_file
from study.export.timm_model import write_timm_files
from study.trained_model import TrainedModel

CARD_FILE, RECORD_FILE = "README.md", "export.json"

Writer = Callable[[TrainedModel, Path], str | None]
"""Writes files of a model to a folder; returns why it wrote none, where the model has no such form."""
WRITERS: tuple[Writer, ...] = (write_timm_files, write_program_file)
"""Files of every export, beside its card and its record."""


def check_target(folder: Path) -> None:
    """Raise InputError unless an export can be written there: the folder is new, empty, or an export itself."""
    if folder.is_dir():
        if any(folder.iterdir()) and not (folder / RECORD_FILE).is_file():
            raise InputError(f"--to = {folder}: must be a new folder, or an earlier export: it has no {RECORD_FILE}")
    elif os.path.lexists(folder):
        raise InputError(f"--to = {folder}: must be a folder, and is a file")


def write_export(card: Card, folder: Path, writers: Sequence[Writer] = WRITERS) -> list[str]:
    """Write a model with its card to a folder, in the place of an earlier export; return which files it lacks, and why.

    Raises:
        InputError: the folder is something else than an export, or cannot be written; it stays as it was.
    """
    check_target(folder)
    with _replacing(folder) as new:
        lacking = [reason for write in writers if (reason := write(card.model, new))]
        write_card(card, new / CARD_FILE)
        (new / RECORD_FILE).write_text(json.dumps(_record(card), indent=2) + "\n")
    return lacking


def _record(card: Card) -> dict[str, Any]:
    """Return the trial as plain values."""
    trial = card.model.trial
    assert trial.record is not None, "a finished trial has a record"
    return {
        "identity": trial.identity,
        "run_id": trial.record.run_id,
        **card.plan.space.tags,
        "cell": dict(trial.candidate.cell),
        "nuisance": dict(trial.candidate.nuisance),
        "seed": trial.candidate.config.seed,
        "metrics": dict(trial.record.metrics),
        "environment": trial.record.environment,
        "config": asdict(trial.candidate.config),
    }


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder, which takes the place of `folder` at the end; after an error it is removed.

    Raises:
        InputError: a disk or a permission is in the way.
    """
    from safetensors import SafetensorError

    new, old = (folder.with_name(f".{folder.name}.{kind}-{secrets.token_hex(4)}") for kind in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        try:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except BaseException:  # Ctrl-C, too
            if old.exists():
                old.rename(folder)
            raise
    except (OSError, SafetensorError) as error:  # safetensors has its own for a full disk
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"--to = {folder}: cannot be written: {reason}") from error
    finally:
        for each in (new, old):
            shutil.rmtree(each, ignore_errors=True)
