"""The task that a worker is handed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revit.functions import import_folder
from revit.identity import TRAINING_VERSION, function_names
from revit.source import SOURCE
from study.execution.resources import ResourceGrant

if TYPE_CHECKING:
    from study.trial import Trial


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """One trial to train, with the paths and resources for it.

    Attributes:
        config: the trial's config as plain values, checked by the worker that receives it.
        images: folder of the image store.
        weights: file or folder of the pretrained weights, None to start from scratch.
        work: folder of the trial's checkpoint and artifacts; the driver can read it, too.
        stop_file: file whose existence asks workers to save and stop.
        keep_model: keep the tested weights among the artifacts.
        is_prunable: report each validation at once, and wait for the driver's decision.
        source, training_version: of the code that the launch began with (`revit.source`, `revit.identity`).
        functions: digests of the sources of the user's functions, by import path, as the plan read them.
        import_folders: folders that a worker puts on `sys.path`, so that it finds these functions.
    """

    identity: str
    config: dict[str, Any]
    images: Path
    weights: Path | None
    work: Path
    stop_file: Path
    grant: ResourceGrant
    keep_model: bool
    is_prunable: bool
    source: str
    training_version: int
    functions: Mapping[str, str]
    import_folders: tuple[str, ...]


def make_task(trial: "Trial", grant: ResourceGrant, *, work: Path, stop_file: Path, is_prunable: bool) -> TrialTask:
    """Return the task of a trial.

    Args:
        work: folder of all trials' work folders.
        is_prunable: see `TrialTask`.
    """
    assert trial.images is not None
    config = trial.candidate.config
    names = function_names(config)
    return TrialTask(
        identity=trial.identity,
        config=asdict(config),
        images=trial.images,
        weights=trial.weights,
        work=work / trial.identity,
        stop_file=stop_file,
        grant=grant,
        keep_model=trial.keep_model,
        is_prunable=is_prunable,
        source=SOURCE,
        training_version=TRAINING_VERSION,
        functions={name: trial.input_digests[what] for what, name in names.items()},
        import_folders=tuple(sorted({str(import_folder(name)) for name in names.values()})),
    )
