"""Options that commands share."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

import search_spaces
from revit.errors import InputError
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
        autocompletion=lambda: [*search_spaces.names(), *search_spaces.folders(), api.ALL],
        help="Name (see `list`), file, paper's folder, or `all`.",
    ),
]
ScaleName = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="NAME",
        autocompletion=lambda: list(SCALES),
        help="paper, the default, or nano: small, for a CPU.",
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", autocompletion=lambda: list(RECIPES), help=f"{', '.join(RECIPES)}."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Another study: all trials with this value."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="AXIS=VALUE,...", help="Limit the command to these cells."),
]
StoreAddress = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="REVIT_STORE",
        show_envvar=False,
        metavar="ADDRESS",
        help="Results: folder or server.",
    ),
]
StorageAddress = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="REVIT_STORAGE",
        show_envvar=False,
        metavar="ADDRESS",
        help="Checkpoints: folder of all nodes, or s3://...",
    ),
]
DataFolder = Annotated[
    Path, typer.Option("--data-dir", envvar="REVIT_DATA_DIR", show_envvar=False, metavar="FOLDER", help="Datasets.")
]
WeightsFolder = Annotated[
    Path | None,
    typer.Option(
        "--weights-dir", envvar="REVIT_WEIGHTS_DIR", show_envvar=False, metavar="FOLDER", help="Pretrained weights."
    ),
]
CacheFolder = Annotated[
    Path,
    typer.Option("--cache-dir", envvar="REVIT_CACHE_DIR", show_envvar=False, metavar="FOLDER", help="Decoded images."),
]
SamplerName = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="NAME",
        autocompletion=lambda: list(get_args(Sampler)),
        help=f"Search: {', '.join(get_args(Sampler))}.",
    ),
]
NumTrials = Annotated[
    int | None, typer.Option("--num-trials", metavar="N", min=1, help="Search: points to try in each cell.")
]
TimeBudget = Annotated[
    float | None,
    typer.Option("--time-budget", metavar="SECONDS", help="Search: no new point after so much training."),
]
PrunerName = Annotated[
    str | None,
    typer.Option(
        "--pruner",
        metavar="NAME",
        autocompletion=lambda: [*get_args(Pruner), "none"],
        help=f"{', '.join(get_args(Pruner))}, none.",
    ),
]
AUTO = "auto"
"""Value of --gpus-per-trial for as many trials per GPU as fit its memory."""
GpusPerTrial = Annotated[
    str | None, typer.Option(metavar="N|auto", help="GPUs, or part of one; auto: as memory allows.")
]
CpusPerTrial = Annotated[int | None, typer.Option(metavar="N", min=1, help="Threads. [default: 1, or its GPUs' part]")]
Compiled = Annotated[bool, typer.Option("--compile", help="Use torch.compile, for long trials on GPUs.")]
Address = Annotated[
    str | None, typer.Option(metavar="auto|HOST:PORT", help="Join this Ray cluster; auto: one that runs here.")
]


UntilDecided = Annotated[bool, typer.Option("--until-decided", help="Add seeds until each claim has a verdict.")]
MaxSeeds = Annotated[int | None, typer.Option(metavar="N", min=2, max=1000, help="Most of these seeds. [default: 10]")]


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """The options of every command that reads a study's results."""

    study: StudyName
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Seeds of every cell: 0 to N-1."),
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
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that cannot be decoded.")] = False

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


def check_until_decided(options: StudyOptions, max_seeds: int | None, *, until_decided: bool) -> None:
    """Raise InputError where options contradict each other."""
    if until_decided and options.seeds is not None:
        raise InputError(f"--seeds = {options.seeds}: --until-decided chooses the seeds; --max-seeds limits them")
    if max_seeds is not None and not until_decided:
        raise InputError(f"--max-seeds = {max_seeds}: needs --until-decided; --seeds sets a fixed number")


def echo_store(folders: "api.Folders") -> None:
    """Print the store of a command: the default depends on the working directory."""
    echo(f"store: {folders.results}" + ("" if folders.has_store else " (there is none yet)"))


def make_request(
    gpus_per_trial: str | None, cpus_per_trial: int | None, compiled: bool, address: str | None
) -> api.ResourceRequest:
    """Return the resources that options request."""
    return api.ResourceRequest(
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=_parse_gpus(gpus_per_trial),
        share_gpus=gpus_per_trial == AUTO,
        compiled=compiled,
        address=address,
    )


def _parse_gpus(typed: str | None) -> float | None:
    """Return a number of GPUs; None for the default and for AUTO. Raises InputError for anything else."""
    if typed is None or typed == AUTO:
        return None
    try:
        number = float(typed)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise InputError(f"--gpus-per-trial = {typed}: must be a number of GPUs, at least 0, or {AUTO}")
    return number
