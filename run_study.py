"""The command line: list, models, plan, fetch, run, report, doctor, prune, ui. It parses, calls `study`, and prints.

Whatever needs seconds to import is imported where it is needed, so that `list` and `--help` are instant.
"""

import atexit
import gc
import io
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import search_spaces
from revit.architectures import MODELS
from revit.errors import InputError, first_line
from revit.folders import expanded
from revit.weights import use_weights_dir
from search_spaces.recipes import RECIPES
from search_spaces.scales import SCALES

if TYPE_CHECKING:
    from search_spaces.space import SearchSpace
    from study.ledger import Ledger
    from study.plan import Folders, Plan
    from study.runner import RunResult

EXIT_FINISHED, EXIT_SOME_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fine-tuning studies of vision transformers: name a question, run every trial, read the answer.",
)

ALL = "all"

StudyName = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="Name of a study, as `list` shows them, or `all` of the paper's."),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds", min=1, max=1000, help="Train every cell with this many seeds: 0, 1, ... [default: the study's]"
    ),
]
ScaleName = Annotated[
    str | None,
    typer.Option("--scale", help=f"How large: {', '.join(SCALES)}. [default: the study's, which is paper]"),
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", help=f"How trained: {', '.join(RECIPES)}. [default: the study's, which is paper]"),
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
LOOPBACK = "127.0.0.1"
DEFAULT_STORE = "mlruns"
SERVERS = ("http://", "https://")
DEFAULT_DATA = Path("data")
DEFAULT_CACHE = Path("~/.cache/revit-study")

PIPED_WIDTH = 160
"""Columns of a table that goes into a file or pipe, where there is no terminal to ask."""

COLLECTING = 100_000, 50, 100
"""Of Python's garbage collector: modules and results are many objects that stay, which it would look through again and
again. At its own 700, 10, 10 the report of 1,000 trials takes a quarter longer."""

out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, soft_wrap=True)


class Asked(TypedDict):
    """What a command asks for each trial, as `study.orders.Resources` takes it."""

    cpus_per_trial: int | None
    gpus_per_trial: float | None
    compiled: bool
    address: str | None


@app.command("list")
def list_studies() -> None:
    """Show the studies there are: name, number of trials, question."""
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "trials", "question"):
        table.add_column(heading)
    for name in search_spaces.names():
        try:
            space = search_spaces.load(name)
            table.add_row(name, str(len(space.candidates(space.seeds[:1])) * len(space.seeds)), space.question)
        except InputError as error:
            table.add_row(name, "-", f"[red]{escape(str(error))}[/red]")
    out.print(table)


@app.command()
def plan(
    study: StudyName,
    seeds: Seeds = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
) -> None:
    """Show every trial of a study and whether it is done; train nothing.

    Where a dataset or weights are not here yet, it shows the trials all the same, and what `fetch` has to get.
    """
    from study.disk_space import disk_line
    from study.fetch import missing
    from study.plan import is_registered, outline
    from study.tables import outline_table, plan_table

    folders = _folders(store, data_dir, weights_dir, cache_dir)
    for space in _spaces(study, scale, recipe):
        absent = missing(space, folders.data) if is_registered(space) else []
        if absent:
            trials = outline(space, _seeds(space, seeds))
            out.print(outline_table(space, trials))
            _tell(disk_line((trial.candidate.config for trial in trials), trials[0].candidate.config.seed))
            _tell(f"{len(trials)} trials; whether they are done is not known, as not all they need is here:")
            for need in absent:
                _tell(f"  {need.what}: {need.advice}")
            _tell(f"get it with\n  {_next_command('fetch', study)}")
            continue
        planned, _ = _plan(space, seeds, folders)
        out.print(plan_table(planned))
        out.print(f"{len(planned.trials)} trials, {len(planned.to_run)} to run")
        if planned.to_run:
            configs = [trial.candidate.config for trial in planned.to_run]
            _tell(disk_line(configs, planned.trials[0].candidate.config.seed))
        _tell_notes(planned)


@app.command()
def run(
    study: StudyName,
    seeds: Seeds = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(min=0, help="GPUs of one trial; .5 lets two share one. [default: 1, or 0]"),
    ] = None,
    cpus_per_trial: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of one trial. [default: 1, or a GPU's share]")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Use torch.compile, for long trials on GPUs: numbers differ by rounding."),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Join this Ray cluster. [default: start a Ray of one's own on this machine]"
        ),
    ] = None,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
) -> None:
    """Train whatever trials of a study are not done yet, then show its table.

    The same command resumes a study that was interrupted, and trains only what was added to it since. A trial that
    several studies ask for is trained once.
    Exit code: 0 all finished, 1 some failed, 2 wrong input, 130 interrupted.
    """
    folders = _folders(store, data_dir, weights_dir, cache_dir)
    asked: Asked = {
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "compiled": compiled,
        "address": address,
    }
    if compiled:  # trials share what is compiled, and so do later commands
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folders.cache / "compiled"))
    try:
        code = _run(_spaces(study, scale, recipe), seeds, folders, asked)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        _tell(f"\ninterrupted; go on with\n  {_this_command()}")
    else:
        _tell(f"\nlook closer:\n  {_next_command('ui')}\n  {_next_command('report', study)}")
    raise typer.Exit(code)


@app.command()
def report(
    study: StudyName,
    seeds: Seeds = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
    reports: Annotated[Path, typer.Option(help="Folder to write to; one folder per study inside.")] = Path("reports"),
) -> None:
    """Show a study's table, and write what it found to reports/STUDY/.

    report.html is one page that opens without network: the table beside published numbers, claims, figures. Beside it
    tables.md and tables.tex, cells.csv, trials.parquet, and figures/ with each figure as JSON; all are kept in MLflow,
    too, with the study's last launch.
    """
    from study.report import write_report

    folders = _folders(store, data_dir, weights_dir, cache_dir)
    for space in _spaces(study, scale, recipe):
        planned, ledger = _plan(space, seeds, folders)
        _print_table(planned)
        for path in write_report(planned, ledger, expanded(reports) / space.name, _next_command("run", space.name)):
            _tell(f"wrote {path}")


@app.command()
def fetch(
    study: StudyName,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
) -> None:
    """Get the datasets and weights that a study needs, in advance: nodes with GPUs are often offline.

    Exit code: 0 all is here, 1 something could not be fetched (it says where to get it and where to put it).
    """
    spaces = _spaces(study, scale, recipe)
    from study import fetch as fetching

    use_weights_dir(weights_dir)
    absent = 0
    for need in fetching.fetch(spaces, expanded(data_dir), out):
        _tell(f"{'here   ' if need.here else 'MISSING'}  {need.what}" + (f"\n  {need.advice}" if need.advice else ""))
        absent += not need.here
    raise typer.Exit(EXIT_SOME_FAILED if absent else EXIT_FINISHED)


@app.command()
def models() -> None:
    """Show the models there are; any other timm classification model goes by its timm name."""
    table = Table()
    for heading in ("model", "what", "px", "parameters", "licence", "source"):
        table.add_column(heading, overflow="fold")
    for spec in MODELS.values():
        size = f"{spec.num_params / 1e6:.2f} M"
        table.add_row(spec.name, spec.title, str(spec.resolution), size, spec.licence, spec.source)
    out.print(table)


@app.command()
def prune(
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY]...", help="Only what is of these studies; `all` for the paper's."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; else it is only shown.")] = False,
    store: StoreAddress = DEFAULT_STORE,
) -> None:
    """Show what the store keeps and no table needs, and with --yes remove it.

    These are checkpoints of settled trials, models that no report shows, reports that a newer launch's supersede, and
    runs that were deleted in MLflow. Results stay, and so does what a running process has.
    """
    if _is_server(store):
        raise InputError(f"--store = {store}: prune needs the folder of a store; what a server keeps is the server's")
    folder = expanded(Path(store))
    names = sorted({space.name for study in studies or () for space in _spaces(study, None, None)})
    if not (folder / "mlflow.db").exists():
        _tell(f"no store yet at {folder}")
        return
    from study.leases import Leases
    from study.ledger import Ledger
    from study.pruning import prunable, remove, sums

    ledger = Ledger(folder)
    leases = Leases(ledger.root / "leases")
    found = prunable(ledger, leases, names)
    for line in sums(found):
        _tell(line)
    if yes:
        remove(found, ledger, leases)
        _tell("removed")
    elif found:
        _tell(f"remove it with\n  {_this_command()} --yes")


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
) -> None:
    """Say whether all is well with the store, what studies read, and this machine; a line each.

    Exit code: 0 nothing needs you, 1 something does: `doctor --fix` mends what is "to fix", you what is to "look" at.
    """
    from study.doctor import diagnose

    code = EXIT_FINISHED
    for finding in diagnose(_folders(store, data_dir, weights_dir, cache_dir), fix=fix):
        _tell(f"{finding.verdict:<6}  {finding.text}")
        code = code if finding.is_well else EXIT_SOME_FAILED
    raise typer.Exit(code)


@app.command()
def ui(
    store: StoreAddress = DEFAULT_STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; another than the default is open to others.")] = (
        LOOPBACK
    ),
) -> None:
    """Open MLflow's own UI on the results, at http://127.0.0.1:PORT, until Ctrl-C; of a server, say where it is."""
    from study.ledger import Ledger, ui_command

    if _is_server(store):
        out.print(f"{store.rstrip('/')}{Ledger(expanded(Path(DEFAULT_STORE)), store).ui_path()}", soft_wrap=True)
        return
    folder = expanded(Path(store))
    command = ui_command(folder, host, port)
    if host != LOOPBACK:
        _tell(f"warning: whoever reaches {host}:{port} can read, change and delete every result")
    out.print(f"http://{host}:{port}{Ledger(folder).ui_path()}   (Ctrl-C ends it)", soft_wrap=True)
    os.execv(command[0], command)


def _folders(store: str, data_dir: Path, weights_dir: Path | None, cache_dir: Path) -> "Folders":
    from study.plan import Folders

    use_weights_dir(weights_dir)
    server = store.rstrip("/") if _is_server(store) else ""
    return Folders(
        store=expanded(Path(DEFAULT_STORE if server else store)),
        data=expanded(data_dir),
        cache=expanded(cache_dir),
        server=server,
    )


def _is_server(store: str) -> bool:
    return store.startswith(SERVERS)


def _spaces(study: str, scale: str | None, recipe: str | None) -> "list[SearchSpace]":
    """The studies that are meant, at the scale and by the recipe that are asked for."""
    if study != ALL:
        return [search_spaces.load(study).at(scale, recipe)]
    every = [search_spaces.load(name) for name in search_spaces.names()]
    return [space.at(scale, recipe) for space in every if space.base is None]


def _run(
    spaces: "list[SearchSpace]",
    seeds: int | None,
    folders: "Folders",
    asked: Asked,
) -> int:
    """Run one study after the other, once all of them are known to be able to start."""
    plans = [_plan(space, seeds, folders) for space in spaces]
    todo = [trial for planned, _ in plans for trial in planned.to_run]
    if todo:
        from study.orders import Resources
        from study.runner import check_runnable

        check_runnable(todo, Resources(**asked))
    code = EXIT_FINISHED
    for planned, ledger in plans:
        code = max(code, _run_one(planned.with_records(ledger.trials()), ledger, asked))
        if code == EXIT_INTERRUPTED:
            break
    return code


def _run_one(planned: "Plan", ledger: "Ledger", asked: Asked) -> int:
    todo = planned.to_run
    num_all = len({trial.identity for trial in planned.trials})
    out.print(f"{planned.space.name}: {planned.space.question}")
    out.print(f"{num_all} trials, {num_all - len(todo)} done, {len(todo)} to run")
    code = EXIT_FINISHED
    if todo:
        from study.orders import Resources
        from study.runner import run_plan

        result = run_plan(planned, ledger, out, Resources(**asked), tags={"command": _this_command()})
        planned = planned.with_records(ledger.trials())
        code = _tell_failures(planned, ledger, result)
    else:
        from study.housekeeping import sweep_idle

        sweep_idle(ledger)
        out.print("nothing to do: every trial is done")
    _share_trials(planned, ledger)
    _print_table(planned)
    return code


def _plan(space: "SearchSpace", seeds: int | None, folders: "Folders") -> "tuple[Plan, Ledger]":
    from study.ledger import Ledger
    from study.plan import make_plan

    ledger = Ledger(folders.store, folders.server)
    return make_plan(space, _seeds(space, seeds), folders, ledger.trials()), ledger


def _seeds(space: "SearchSpace", count: int | None) -> tuple[int, ...]:
    return space.seeds if count is None else tuple(range(count))


def _share_trials(planned: "Plan", ledger: "Ledger") -> None:
    """Let done trials that another study ran be found from this one, too."""
    for trial in planned.trials:
        if trial.known is not None and trial.settled:
            ledger.tag_study(trial.known, planned.space.name, trial.place["cell"])


def _this_command() -> str:
    """What was typed, so that it can be typed again."""
    return _command_line(sys.argv[1:])


def _next_command(command: str, *arguments: str) -> str:
    """Another command on the same study, folders and seeds."""
    same = ("--scale", "--recipe", "--data-dir", "--weights-dir")
    again = (*same, "--store", "--cache-dir", "--seeds")
    keep = {"ui": ("--store",), "report": again, "run": again, "fetch": same}[command]
    typed = list(zip(sys.argv, sys.argv[1:], strict=False))
    kept = [word for option, value in typed if option in keep for word in (option, value)]
    return _command_line([command, *arguments, *kept])


def _command_line(arguments: Sequence[str]) -> str:
    """How to call this again; a path that is no text is shown escaped."""
    return shlex.join([_python(), "run_study.py", *arguments]).encode(errors="backslashreplace").decode()


def _python() -> str:
    """How this interpreter is called from here: `python` where that is it, else its path."""
    on_path = shutil.which("python")
    if on_path is not None and Path(on_path) == Path(sys.executable):
        return "python"
    here, python = Path.cwd(), Path(sys.executable)
    return str(python.relative_to(here) if python.is_relative_to(here) else python)


def _tell(text: str) -> None:
    """Print as it is: no colours, no line breaks of ours, so that commands can be copied."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def _tell_failures(planned: "Plan", ledger: "Ledger", result: "RunResult") -> int:
    from study.recorder import trial_name

    trials = {trial.identity: trial for trial in planned.trials}
    for identity, message in result.messages.items():
        trial, outcome = trials[identity], result.outcomes[identity]
        _tell(f"{outcome}: {trial_name(trial)}: {message}")
        if outcome == "failed" and trial.known is not None:
            _tell(f"  {trial.missing}; {ledger.address(trial.known.run_id, 'traceback.txt')}")
    if result.stopped:
        _tell(result.stopped)
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if planned.to_run else EXIT_FINISHED


def _print_table(planned: "Plan") -> None:
    from study.tables import terminal_table

    out.print()
    out.print(terminal_table(planned))
    _tell_notes(planned)


def _tell_notes(planned: "Plan") -> None:
    from study.tables import notes

    for line in (*notes(planned.space), *planned.remarks):
        _tell(line)


def main() -> None:
    """Run the command line; every wrong input is one line and exit code 2."""
    gc.set_threshold(*COLLECTING)
    atexit.register(gc.freeze)  # else Python looks through all objects once more while it ends: .4 s of a `plan`'s 1.9
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a file may be no text
    try:
        app()
    except InputError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(EXIT_WRONG_INPUT)
    except Exception as error:
        if not _may_pass(error):
            raise
        err.print(f"[red]error:[/red] a disk or server does not serve for now: {escape(first_line(error))}")
        err.print("nothing is lost: give the same command again later")
        sys.exit(EXIT_SOME_FAILED)


def _may_pass(error: Exception) -> bool:
    if "study.ledger" not in sys.modules:
        return False
    from study.ledger import may_pass

    return may_pass(error)


if __name__ == "__main__":
    main()
