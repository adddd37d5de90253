"""Options that commands share."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

import search_spaces
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.scales import SCALES
from search_spaces.framework.search import Pruner, Sampler
from search_spaces.framework.space import SearchSpace
from study import api
from study.cli.console import echo

StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        autocompletion=lambda: [*search_spaces.names(), api.ALL],
        help="Name of a study (see `list`), path of a study's file, or `all` that start from a recipe.",
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
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Value of every trial, over the study's own (see `axes`): a study of its own in store and reports.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="AXIS=VALUE[,VALUE]", help="Only these cells of the study; the others stay new."),
]
StoreAddress = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="REVIT_STORE",
        help="Folder with MLflow's database and artifacts, or address of an MLflow tracking server, http://...",
    ),
]
StorageAddress = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="REVIT_STORAGE",
        metavar="ADDRESS",
        help="Folder that all nodes share, or s3://BUCKET/PREFIX: checkpoints and artifacts of trials that run. "
        "[default: the store's folder]",
    ),
]
DataFolder = Annotated[Path, typer.Option("--data-dir", envvar="REVIT_DATA_DIR", help="Dataset directory.")]
WeightsFolder = Annotated[
    Path | None,
    typer.Option("--weights-dir", envvar="REVIT_WEIGHTS_DIR", help="Directory of pretrained weights."),
]
CacheFolder = Annotated[
    Path,
    typer.Option("--cache-dir", envvar="REVIT_CACHE_DIR", help="Directory of decoded images, on a local disk."),
]
SamplerName = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        autocompletion=lambda: list(get_args(Sampler)),
        help=f"How points of a search are chosen: {', '.join(get_args(Sampler))}. [default: the study's]",
    ),
]
NumTrials = Annotated[
    int | None,
    typer.Option("--num-trials", min=1, help="Points that a search tries in each cell. [default: the study's]"),
]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        "--time-budget",
        metavar="SECONDS",
        help="Seconds of training after which a search begins no further point of a cell. [default: the study's]",
    ),
]
PrunerName = Annotated[
    str | None,
    typer.Option(
        "--pruner",
        autocompletion=lambda: [*get_args(Pruner), "none"],
        help=f"When a point is given up: {', '.join(get_args(Pruner))}, none. [default: the study's]",
    ),
]


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """The options of every command that reads a study's results."""

    study: StudyName
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Train every cell with this many seeds: 0, 1, ... [default: the study's]"),
    ] = None
    scale: ScaleName = None
    recipe: RecipeName = None
    settings: Settings = None
    only: Only = None
    sampler: SamplerName = None
    num_trials: NumTrials = None
    time_budget_s: TimeBudget = None
    pruner: PrunerName = None
    store: StoreAddress = api.DEFAULT_STORE
    data_dir: DataFolder = api.DEFAULT_DATA
    weights_dir: WeightsFolder = None
    cache_dir: CacheFolder = api.DEFAULT_CACHE
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be decoded; they are counted and named.")
    ] = False

    def folders(self, storage: StorageAddress = None) -> "api.Folders":
        """Return the folders that the options name."""
        return api.make_folders(
            self.store,
            self.data_dir,
            self.weights_dir,
            self.cache_dir,
            storage=storage,
            skip_broken=self.skip_broken,
        )

    def load_studies(self) -> list[SearchSpace]:
        """Return the studies that the options name."""
        return api.load_studies(
            self.study,
            scale=self.scale,
            recipe=self.recipe,
            settings=self.settings or (),
            only=self.only or (),
            sampler=self.sampler,
            num_trials=self.num_trials,
            time_budget_s=self.time_budget_s,
            pruner=self.pruner,
        )


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameter `options` is replaced by the fields of StudyOptions, as typer reads them."""
    context, _, *own = inspect.signature(command).parameters.values()
    shared = inspect.signature(StudyOptions).parameters

    @wraps(command)
    def parsed(**values: Any) -> None:
        options = StudyOptions(**{name: values.pop(name) for name in shared})
        command(options=options, **values)

    keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (context, *shared.values(), *own)]
    parsed.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # read by inspect
    return parsed


def echo_store(folders: "api.Folders") -> None:
    """Print the store of a command: the default depends on the working directory."""
    echo(f"store: {folders.results}" + ("" if folders.has_store else " (there is none yet)"))
