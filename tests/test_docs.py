"""The pages in docs/ are true."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from mlflow import MlflowClient
from timm.optim import list_optimizers

import run_study
import search_spaces
from revit.config import FineTuneConfig
from revit.datasets.augmented_images import check_augmentation
from revit.datasets.page import datasets_page
from revit.datasets.registry import DATASETS
from revit.training.batch_loss import check_loss
from revit.training.metrics import METRICS, PREFIXES, Predictions
from revit.training.optimizer_specs import OPTIMIZERS
from revit.training.optimizers import check_optimizer
from revit.training.prediction_file import CLASSES, LOGITS, SPLIT
from revit.training.timm_optimizers import usable_names
from search_spaces.framework import Range, Search
from search_spaces.framework.claims import Claim
from search_spaces.framework.published import COLUMNS
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.scales import SCALES
from search_spaces.framework.search import Pruner, Sampler
from search_spaces.framework.sequential_design import SequentialDesign
from study import api, layout
from study.api.designs import DEFAULT_MAX_SEEDS
from study.cli.main import COMMANDS
from study.execution.recorder import Recorder
from study.ledger import schema
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Rehearsal
from study.ledger.schema import SEARCH_PHASE
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from study.report import writer

DOCS = Path(__file__).parent.parent / "docs"


def test_the_files_they_point_to_are_there() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([\w/.]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_each_promise_of_reliability_is_shown_by_a_test_that_exists() -> None:
    page = (DOCS / "reliability.md").read_text()
    promises = [line for line in re.findall(r"^\| (.*) \|$", page, flags=re.MULTILINE) if "shown by" not in line]
    assert len(promises) >= 23
    for promise in promises:
        tests = re.findall(r"\[(\w+)\]\(\.\./(tests/[\w/]+\.py)\)", promise)
        assert tests, promise
        for name, path in tests:
            assert f"\ndef {name}(" in (DOCS.parent / path).read_text(), f"{path} has no {name}"


def test_the_calls_of_the_api_on_the_page_of_analysis_have_its_names_and_keywords() -> None:
    """`examples/analysis.ipynb` and `tests/study/api/test_notebook.py` run them."""
    page = (DOCS / "analyze.md").read_text()
    blocks = "".join(re.findall(r"```py\n(.*?)```", page, flags=re.DOTALL))
    calls = [node for node in ast.walk(ast.parse(blocks)) if isinstance(node, ast.Call)]
    named = [call for call in calls if re.fullmatch(r"api\.\w+", ast.unparse(call.func))]
    assert len(named) == 10
    for call in named:
        function = getattr(api, ast.unparse(call.func).removeprefix("api."))
        inspect.signature(function).bind(*call.args, **{each.arg or "": each.value for each in call.keywords})
    listed = page.partition("Keywords are the command line's options:")[2].partition(".")[0]
    assert {"store", "only"} < set(re.findall(r"`(\w+)`", listed)) <= api.Options.__annotations__.keys()
    assert {each.arg for call in named for each in call.keywords} <= {"by", *api.Options.__annotations__}


def test_the_page_of_statistics_has_every_formulas_module_and_the_default_design() -> None:
    page = (DOCS / "statistics.md").read_text()
    modules = set(re.findall(r"`((?:study|revit|search_spaces|benchmarks)/[\w/]+\.py)", page))
    assert all((DOCS.parent / module).exists() for module in modules), modules
    names = {"intervals", "contrasts", "claim_tests", "power", "sequential", "sequential_power", "effects", "anova"}
    assert {f"study/analysis/{name}.py" for name in names} <= modules
    design = SequentialDesign.between(3, DEFAULT_MAX_SEEDS)
    *first, last = map(str, design.looks)
    assert f"{', '.join(first)} and {last} seeds" in page
    *levels, final = (f"{100 * design.level_of(look):.2g}".removeprefix("0") for look in design.looks)
    assert f"the looks have {', '.join(levels)} and {final} %" in page


def test_the_page_of_recipes_has_them_all() -> None:
    page = (DOCS / "recipes.md").read_text()
    [heading] = re.findall(r"^\| \| (.*) \|$", page, flags=re.MULTILINE)
    assert heading.split(" | ") == [f"`{name}`" for name in RECIPES]
    assert all(f"`--scale {name}`" in page for name in SCALES)


@pytest.mark.parametrize(
    ("heading", "departures"),
    [
        ("Where `authors` departs from the code, and why", ("stratified", "GELU is exact in both", "10,000 images")),
        ("Where the others depart", ("does not train on validation images", "GELU is exact", "antialiasing")),
    ],
)
def test_the_page_of_recipes_tells_where_they_depart_from_their_sources(
    heading: str, departures: tuple[str, ...]
) -> None:
    [_, section] = (DOCS / "recipes.md").read_text().split(f"## {heading}\n")
    departed = section.partition("\n## ")[0]
    assert all(re.search(departure, departed) for departure in departures)


def test_the_page_of_datasets_is_the_registrys_with_every_caveat() -> None:
    page = (DOCS / "datasets.md").read_text()
    assert page == datasets_page() + "\n"
    assert sum(spec.caveat in page for spec in DATASETS.values() if spec.caveat) == 15


def test_the_walk_through_makes_a_study_that_runs(
    ray_cluster: None,
    one_slot: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    [module] = re.findall(r"```python\n(.*?)```", (DOCS / "new_study.md").read_text(), flags=re.DOTALL)
    assert len(module.splitlines()) <= 30
    shortened = module.replace('"dataset": "flowers"', '"dataset": "flowers", "steps": 4, "resolution": 32')
    (tmp_path / "dropout.py").write_text(shortened)
    file = str(tmp_path / "dropout.py")
    folders = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", file, "--scale", "nano", "--seeds", "1", *folders])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    shown = capsys.readouterr().out
    assert stop.value.code == 0, shown
    assert "4 trials, 0 done, 4 to run" in shown
    assert "not evidence for or against any published claim" in shown
    assert "digits is a proxy for flowers102_nelorth" in shown
    trials = Ledger(tmp_path / "mlruns").trials().values()
    assert [trial.state for trial in trials] == [TrialState.FINISHED] * 4


def test_the_claims_of_the_walk_through_are_about_its_study_and_all_kinds_are_told() -> None:
    page = (DOCS / "new_study.md").read_text()
    [module], [*_, stated] = (re.findall(rf"```{kind}\n(.*?)```", page, flags=re.DOTALL) for kind in ("python", "py"))
    namespace: dict[str, Any] = {}
    exec(module + stated, namespace)
    space = replace(namespace["SPACE"], claims=namespace["claims"])
    assert len(space.claims) == 2
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == {kind.__name__ for kind in get_args(Claim)}


def test_the_walk_through_tunes_as_the_study_that_it_points_to() -> None:
    page = (DOCS / "new_study.md").read_text()
    [tuned, *_] = re.findall(r"```py\n(.*?)```", page, flags=re.DOTALL)
    namespace: dict[str, Any] = {"Range": Range, "Search": Search}
    exec(tuned, namespace)
    space = search_spaces.load("fair_optimizers")
    assert (space.scientific, space.nuisance, space.search) == tuple(
        namespace[name] for name in ("scientific", "nuisance", "search")
    )
    source = Path(search_spaces.__path__[0], "fair_optimizers.py").read_text()
    assert len(source.rpartition('"""')[2].strip().splitlines()) <= 30


def test_the_page_of_search_has_its_values_samplers_and_pruners() -> None:
    page = (DOCS / "search.md").read_text()
    [block] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(block, namespace)
    space = replace(search_spaces.load("fair_optimizers"), nuisance=namespace["nuisance"], search=namespace["search"])
    assert [len(cell.axes) for cell in space.list_cells()] == [3, 4]
    rows = re.findall(r"^\| `(\w+)=?` \|", page, flags=re.MULTILINE)
    assert rows == [
        *(each.name for each in sorted(fields(Search), key=lambda each: rows.index(each.name))),
        *get_args(Sampler),
    ]
    assert all(f"`{name}`" in page for name in get_args(Pruner))
    options = {"--sampler", "--num-trials", "--time-budget", "--pruner"}
    assert options <= set(re.findall(r"`(--[\w-]+)`", page))


def test_the_functions_of_the_walk_through_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (DOCS / "new_study.md").read_text().partition("## Functions of your own\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if not line or line.startswith("    ")]
    (tmp_path / "functions_of_the_page.py").write_text(textwrap.dedent("\n".join(lines)))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = FineTuneConfig(dataset="digits", steps=1, loss="functions_of_the_page:focal")
    check_loss(config)
    check_augmentation(config.with_values({"augmentation": "functions_of_the_page:darken"}))
    sys.modules.pop("functions_of_the_page")


def test_the_page_of_optimizers_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "optimizers.md").read_text()
    table = page.partition("| names | reason |")[2].partition("\n\n")[0]
    patterns = [name for line in table.splitlines() for name in re.findall(r"`([\w*]+)`", line)]
    refused = {name for pattern in patterns for name in list_optimizers(pattern)}
    assert refused == {*list_optimizers()} - {*OPTIMIZERS, *usable_names()}
    assert f"of timm's {len(list_optimizers())} names the {len(refused)} that" in page
    lines = [line for line in page.splitlines() if line.startswith("    ")]
    (tmp_path / "optimizer_of_the_page.py").write_text("import torch\n\n" + textwrap.dedent("\n".join(lines)))
    monkeypatch.syspath_prepend(str(tmp_path))
    own = {"optimizer.name": "optimizer_of_the_page:nesterov", "optimizer.layer_decay": 0.75}
    check_optimizer(FineTuneConfig(dataset="digits", steps=1).with_values(own))
    sys.modules.pop("optimizer_of_the_page")


def test_the_walk_through_lists_the_columns_of_a_papers_file() -> None:
    section = (DOCS / "new_study.md").read_text().partition("## Published numbers")[2]
    listed = [line for line in section.splitlines() if line.startswith("- `")]
    assert {name for line in listed for name in re.findall(r"`(\w+)`", line.partition(":")[0])} == set(COLUMNS)


def test_the_paper_that_a_page_shows_is_one_outside_of_this_project(tmp_path: Path) -> None:
    page = (DOCS / "papers.md").read_text()
    [csv] = re.findall(r"```csv\n(.*?)```", page, flags=re.DOTALL)
    [module] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "lora.csv").write_text(csv)
    (tmp_path / "adapters.py").write_text(module)
    space = search_spaces.load(str(tmp_path / "adapters.py"))
    published = {each.cell["model.adapter"]: space.published(each) for each in space.candidates((0,))}
    assert {adapter: [row.value for row in rows] for adapter, rows in published.items()} == {
        "none": [98.9], "lora": [98.7]
    }  # fmt: skip
    assert {each.config.model.name for each in space.variant(scale="nano").candidates((0,))} == {"vit_nano_small"}


def test_what_the_page_on_mlflow_filters_and_groups_by_is_in_a_store(
    train: Callable[..., Any], small: FineTuneConfig, cache_dir: Path, tmp_path: Path
) -> None:
    """Its filters find runs of a store that the recorder wrote; each name in backticks is in it, or a file's, or ours.

    The store has one seed of the study that the page filters by, and of one by a recipe, with the metrics of a trial
    really trained.
    """
    page = (DOCS / "mlflow.md").read_text().partition("## A server for several launches")[0]
    outside_of_blocks = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    filters = re.findall(r"```\n(tags\..*)\n```", page)
    named = set(re.findall(r"`([^`\n]+)`", outside_of_blocks))

    result, listener = train(small)
    store = Ledger(tmp_path)
    folders = Folders(store=tmp_path, data=cache_dir, cache=cache_dir)
    spaces = [search_spaces.load("quickstart"), search_spaces.load("pos_embed").variant(scale="nano")]
    for space in spaces:
        _write_study(store, make_plan(space, (0,), folders, store.trials()), [*listener.rows, result.metrics])
    rehearsal = Rehearsal(params={}, environment={}, step_time_s=1.0, eval_images_per_s=1.0)
    store.rehearsals.add(rehearsal, name="a", tags={})

    client = MlflowClient(store.uri)
    assert len(filters) == 4
    for text in [*filters, *(f"tags.kind = 'trial' {name}" for name in named if name.startswith("and "))]:
        assert client.search_runs(["1"], text, max_results=1), text

    runs = client.search_runs(["1"])
    metrics = {name for run in runs for name in run.data.metrics}
    known = metrics.union(*(run.data.tags for run in runs), *(run.data.params for run in runs))
    known |= {value for run in runs for value in run.data.params.values()}
    known |= {axis for space in spaces for axis in space.scientific} | {space.name for space in spaces}
    known |= COMMANDS.keys() | PREFIXES.keys() | METRICS.keys() | {SEARCH_PHASE}
    known |= {SPLIT, LOGITS, CLASSES, *(each.name for each in fields(Predictions))}
    files = {name for module in (layout, schema, writer) for name in re.findall(r'"([\w.]+)"', _source(module))}
    patterns = {name for name in named if name.startswith("^")}
    assert {name for name in named if not name.startswith(("^", "and "))} <= known | files
    assert [sorted(name for name in metrics if re.search(pattern, name)) for pattern in patterns] == [
        ["lr", "train_loss", "val_accuracy"]
    ]


def _write_study(store: Ledger, plan: Any, rows: list[dict[str, float]]) -> None:
    launch = store.launches.open(plan.space.name, plan.space.tags)
    locks = Locks(store.root / "locks")
    known = {trial.identity: trial for trial in plan.to_run}
    recorder = Recorder(
        store,
        launches={plan.space.name: launch},
        trials=known,
        locks=locks,
        log=print,
    )
    *curve, final = rows
    last = {name: value for row in curve for name, value in row.items()}
    for trial in plan.to_run:
        files = store.root / layout.WORK / trial.identity / layout.ARTIFACTS
        files.mkdir(parents=True)
        for name in layout.NEEDED_FILES:
            (files / name).touch()
        recorder.start_trial(trial.identity)
        recorder.add_rows(trial.identity, [last, {"step": last["step"], **final}])
        recorder.end_trial(trial.identity, TrialState.FINISHED)
    recorder.close(interrupted=False)
    assert set(recorder.states.values()) == {TrialState.FINISHED}, recorder.messages


def _source(module: Any) -> str:
    return Path(module.__file__).read_text()
