"""Studies, folders, ledgers, opened by what a user names."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import search_spaces
from revit.errors import InputError
from revit.models.weights import use_weights_dir
from revit.paths import check_writable, expand_path
from search_spaces.framework.choices import (
    parse_assignments,
    parse_value,
    split_values,
    with_cells,
    with_search,
    with_settings,
)
from search_spaces.framework.space import SearchSpace
from study.advice import MissingStoreError
from study.model_check import check_names

if TYPE_CHECKING:
    from study.ledger.ledger import Ledger
    from study.plan import Folders

ALL = "all"
"""All studies of the package that start from a recipe and are in no folder of a paper."""
DEFAULT_STORE, DEFAULT_DATA, DEFAULT_CACHE = "mlruns", Path("data"), Path("~/.cache/revit-study")
SERVERS = ("http://", "https://")

Study = SearchSpace | Path | str
"""A study: its space, its name, or the path of its file."""


class SearchChoices(TypedDict, total=False):
    """Values of a search in place of the study's; None for the study's."""

    sampler: str | None
    num_trials: int | None
    time_budget_s: float | None
    pruner: str | None


class Choices(SearchChoices, total=False):
    """Keywords of `load_study`."""

    scale: str | None
    recipe: str | None
    settings: Sequence[str]
    only: Sequence[str]


def load_study(
    study: Study,
    *,
    scale: str | None = None,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    **search: Unpack[SearchChoices],
) -> SearchSpace:
    """Return the space of a study.

    Args:
        scale, recipe: in place of the study's.
        settings: texts FIELD=VALUE: values over the study's own, which make it a study of its own.
        only: texts AXIS=VALUE or AXIS=VALUE,VALUE: the cells to which its trials are limited.
        search: values of its search (`search_spaces.framework.search.Search`) in place of the study's.

    Raises:
        InputError: there is no such study, scale, recipe, field or axis, a study names a model that timm does not
            have, or nothing is searched in it.
    """
    space = study if isinstance(study, SearchSpace) else search_spaces.load(str(study))
    space = space.variant(scale=scale, recipe=recipe)
    fields = {path: parse_value(path, text) for path, text in parse_assignments("--set", settings).items()}
    cells = split_values(space, parse_assignments("--only", only))
    space = with_settings(space, fields)
    space = with_cells(space, cells) if cells else space
    space = with_search(space, **search)
    if settings or study not in search_spaces.names():  # models that the package's studies name are known to timm
        check_names(space)
    return space


def load_studies(study: str, **choices: Unpack[Choices]) -> list[SearchSpace]:
    """Return a study by its name or its file, the studies in the folder of a paper by its name, or `all`.

    Raises:
        InputError: as `load_study`.
    """
    if study == ALL:
        names = [name for name in search_spaces.names_in() if search_spaces.load(name).base is None]
    else:
        names = search_spaces.names_in(study) if study in search_spaces.folders() else [study]
    return [load_study(name, **choices) for name in names]


def make_folders(
    store: Path | str = DEFAULT_STORE,
    data_dir: Path | str = DEFAULT_DATA,
    weights_dir: Path | str | None = None,
    cache_dir: Path | str = DEFAULT_CACHE,
    *,
    storage: Path | str | None = None,
    skip_broken: bool = False,
) -> "Folders":
    """Return the folders of results, datasets, decoded images.

    Args:
        store: a folder, or the address of an MLflow tracking server.
        weights_dir: folder of pretrained weights; set for the whole process.
        storage: a folder, or the address of an object store; None for the store's folder.

    Raises:
        InputError: the address of the store holds a password, which would be printed, and kept with every launch.
    """
    from study.plan import Folders

    use_weights_dir(None if weights_dir is None else Path(weights_dir))
    server = str(store).rstrip("/") if str(store).startswith(SERVERS) else ""
    if server and "@" in server.split("/")[2]:
        variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise InputError(f"the address of the store has a user or password: set {variables} instead")
    return Folders(
        store=expand_path(Path(DEFAULT_STORE if server else store)),
        data=expand_path(Path(data_dir)),
        cache=expand_path(Path(cache_dir)),
        server=server,
        storage="" if storage is None else str(storage),
        skip_broken=skip_broken,
    )


def open_ledger(folders: "Folders", *, create: bool = False) -> "Ledger":
    """Return the ledger of a store.

    Args:
        create: a study is to be run: create the store if necessary, and check that its storage can be used.

    Raises:
        InputError: there is no store, it cannot be opened, or its storage cannot be used.
    """
    if not (create or folders.has_store):
        raise MissingStoreError(f"there is no store at {folders.store}")
    if create:
        check_store(folders)
    from study.ledger.ledger import Ledger

    return Ledger(folders.store, folders.server, folders.storage)


def check_store(folders: "Folders") -> None:
    """Raise InputError if a store or its storage cannot be written."""
    if folders.storage:
        from study.system.storage import Storage

        Storage(folders.storage).check()
    check_writable(folders.store, "store")
