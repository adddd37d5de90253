"""The task that a worker is handed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from revit.functions import import_folder
from revit.identity import TRAINING_VERSION, function_names
from revit.source import SOURCE
from study.execution.environment import library_versions
from study.execution.resources import ResourceGrant
from study.execution.shared_inputs import SharedInput, images_of, test_sets_of, weights_of
from study.layout import WORK
from study.system.storage import Storage

if TYPE_CHECKING:
    from study.trial import Trial


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """One trial to train, with the paths and resources for it.

    Attributes:
        config: the trial's config as plain values, checked by the worker that receives it.
        images: image store.
        weights: pretrained weights, None to start from scratch.
        storage: files that driver and workers share; has images and weights for nodes that lack them.
        work: name in the storage of the folder of the trial's checkpoints and artifacts.
        stop_file: name in the storage of the file whose existence asks workers to save and stop.
        keep_model: keep the tested weights among the artifacts.
        is_prunable: report each validation at once, and wait for the driver's decision.
        source, training_version: of the code that the launch began with (`revit.source`, `revit.identity`).
        versions: those of the driver, by name.
        functions: digests of the sources of the user's functions, by import path, as the plan read them.
        import_folders: folders that a worker puts on `sys.path`, so that it finds these functions.
        is_rehearsal: evaluate one batch of each split.
        test_sets: image stores of further test sets, by label.
        following: task that the worker probably has next, and prepares while it trains; None for none.
    """

    identity: str
    config: dict[str, Any]
    images: SharedInput
    weights: SharedInput | None
    storage: Storage
    work: str
    stop_file: str
    grant: ResourceGrant
    keep_model: bool
    is_prunable: bool
    source: str
    training_version: int
    versions: Mapping[str, str]
    functions: Mapping[str, str]
    import_folders: tuple[str, ...]
    following: "TrialTask | None" = None
    test_sets: Mapping[str, SharedInput] = field(default_factory=dict)
    is_rehearsal: bool = False

    def __deepcopy__(self, memo: object) -> "TrialTask":
        """Return itself: nothing changes a task, and Tune would keep two more copies of each until a launch ends."""
        return self


def make_task(
    trial: "Trial", grant: ResourceGrant, *, storage: Storage, stop_file: str, is_prunable: bool
) -> TrialTask:
    """Return the task of a trial.

    Args:
        storage, stop_file, is_prunable: see `TrialTask`.
    """
    config = trial.candidate.config
    names = function_names(config)
    return TrialTask(
        identity=trial.identity,
        config=asdict(config),
        images=images_of(trial),
        weights=weights_of(trial),
        test_sets=test_sets_of(trial),
        storage=storage,
        work=f"{WORK}/{trial.identity}",
        stop_file=stop_file,
        grant=grant,
        keep_model=trial.keep_model,
        is_prunable=is_prunable,
        source=SOURCE,
        training_version=TRAINING_VERSION,
        versions=library_versions(),
        functions={name: trial.input_digests[what] for what, name in names.items()},
        import_folders=tuple(sorted({str(import_folder(name)) for name in names.values()})),
    )
