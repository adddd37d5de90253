"""The options that commands share, and what is made of their values."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import search_spaces
from revit.errors import InputError
from revit.models.weights import use_weights_dir
from revit.paths import expand_path
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.scales import SCALES
from study.cli.console import echo
from study.model_check import check_names
from study.table_columns import check_axis_names

if TYPE_CHECKING:
    from search_spaces.framework.space import SearchSpace
    from study.plan import Folders

ALL = "all"
DEFAULT_STORE = "mlruns"
SERVERS = ("http://", "https://")
DEFAULT_DATA = Path("data")
DEFAULT_CACHE = Path("~/.cache/revit-study")


def study_names() -> list[str]:
    """Return what can stand for STUDY, to complete it."""
    return [*search_spaces.names(), ALL]


StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        autocompletion=study_names,
        help="Name of a study, as `list` shows them, or `all` of the paper's.",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds", min=1, max=1000, help="Train every cell with this many seeds: 0, 1, ... [default: the study's]"
    ),
]
ScaleName = Annotated[
    str | None,
    typer.Option(
        "--scale",
        autocompletion=lambda: list(SCALES),
        help=f"How large: {', '.join(SCALES)}. [default: the study's, which is paper]",
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        autocompletion=lambda: list(RECIPES),
        help=f"How trained: {', '.join(RECIPES)}. [default: the study's, which is paper]",
    ),
]
StoreAddress = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="REVIT_STORE",
        help="Folder of results: MLflow's database and artifacts. Or the address of an MLflow tracking server, http://...",
    ),
]
DataFolder = Annotated[
    Path, typer.Option("--data-dir", envvar="REVIT_DATA_DIR", help="Folder where downloaded datasets lie.")
]
WeightsFolder = Annotated[
    Path | None,
    typer.Option("--weights-dir", envvar="REVIT_WEIGHTS_DIR", help="Folder where pretrained weights lie."),
]
CacheFolder = Annotated[
    Path,
    typer.Option("--cache-dir", envvar="REVIT_CACHE_DIR", help="Folder for decoded images, on a local disk."),
]


SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out images that cannot be decoded; they are counted and named.")
]


def folders_of(
    store: str, data_dir: Path, weights_dir: Path | None, cache_dir: Path, *, skip_broken: bool = False
) -> "Folders":
    """Return the folders that the options name."""
    from study.plan import Folders

    use_weights_dir(weights_dir)
    server = store.rstrip("/") if is_server(store) else ""
    return Folders(
        store=expand_path(Path(DEFAULT_STORE if server else store)),
        data=expand_path(data_dir),
        cache=expand_path(cache_dir),
        server=server,
        skip_broken=skip_broken,
    )


def echo_store(folders: "Folders") -> None:
    """Say which store a command uses: in another working directory the default is another one."""
    echo(f"store: {folders.results}" + ("" if folders.has_store else " (there is none yet)"))


def is_server(store: str) -> bool:
    """Return whether a store is the address of a tracking server, not a folder.

    Raises:
        InputError: the address holds a password, which would be printed, and kept with every launch.
    """
    if not store.startswith(SERVERS):
        return False
    if "@" in store.split("/")[2]:
        variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise InputError(f"--store has a user or password in its address: must be without; they go into {variables}")
    return True


def spaces_of(study: str, scale: str | None, recipe: str | None) -> "list[SearchSpace]":
    """Return the studies that are meant, at the scale and by the recipe that are asked for."""
    if study != ALL:
        return [_at(search_spaces.load(study), scale, recipe)]
    every = [search_spaces.load(name) for name in search_spaces.names()]
    return [_at(space, scale, recipe) for space in every if space.base is None]


def _at(space: "SearchSpace", scale: str | None, recipe: str | None) -> "SearchSpace":
    space = space.variant(scale=scale, recipe=recipe)
    check_axis_names(space)
    check_names(space)
    return space


def seeds_of(space: "SearchSpace", count: int | None) -> tuple[int, ...]:
    """Return the seeds that `--seeds` asks for, else the study's own."""
    return space.seeds if count is None else tuple(range(count))
