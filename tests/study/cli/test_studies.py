"""Commands on a study: plan, run, fetch."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

import search_spaces
from benchmarks.report import write_study
from revit.config import FineTuneConfig
from search_spaces.framework.choices import with_cells
from search_spaces.framework.space import SearchSpace
from study import api
from study.cli import studies
from study.cli.console import EXIT_INTERRUPTED
from study.cli.main import main
from study.execution.recorder import RunResult
from study.execution.resources import Node, ResourceRequest, grant_resources
from study.ledger.ledger import Ledger
from study.ledger.provenance import launch_tags
from study.ledger.records import TrialRecord, TrialUpdate
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from tests.command_line import ROOT, call, call_here, command_of, where


def test_several_studies_run_in_one_launch_and_show_their_tables_by_name(
    tmp_path: Path,
    cache_dir: Path,
    new_ledger: Callable[[Path], Ledger],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two studies share the trial at lr .1; the launch ends with two of the first one's three trials done."""
    new_ledger(tmp_path / "mlruns")
    base = FineTuneConfig(dataset="digits", steps=1)
    study = partial(SearchSpace, base=base, seeds=(0,), keep_models="none")
    spaces = [
        study(name=name, question=f"{name}?", scientific={"optimizer.lr": rates})
        for name, rates in (("one", (0.1, 0.2, 0.3)), ("two", (0.1, 0.4)))
    ]

    def run_two_trials(plans: Sequence[Plan], ledger: Ledger, *_: object, tags: dict[str, str]) -> RunResult:
        assert tags == launch_tags(tags["command"])
        assert tags["command"].endswith(f"run_study.py run all {' '.join(where)}")
        assert [plan.space.name for plan in plans] == ["one", "two"]
        launch = ledger.launches.open("one", tags)
        for trial in plans[0].to_run[:2]:
            record = ledger.open_trial(trial.identity, launch=launch, name="trial", tags={})
            ledger.close_trial(record.run_id, TrialState.FINISHED, update=TrialUpdate())
        return RunResult(states={}, messages={}, interrupted=False, stop_reason="")

    monkeypatch.setattr("study.execution.runner.run_plans", run_two_trials)
    monkeypatch.setattr(studies, "_echo_results", lambda plan, ledger, records: [])
    monkeypatch.setattr(api, "load_studies", lambda *_, **__: spaces)
    where = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "all", *where])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1, "not all trials are done"
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"(one|two):|\d+ trials", line)]
    before = ["one: one?", "3 trials, 0 done, 3 to run", "two: two?", "2 trials, 0 done, 2 to run"]
    assert lines == [*before, "one: one?", "two: two?"]


def test_an_address_is_checked_before_images_are_read_and_a_store_is_made(tmp_path: Path, free_port: int) -> None:
    done = call_here("run", "quickstart", "--address", f"127.0.0.1:{free_port}", *where(tmp_path))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: --address = 127.0.0.1:{free_port}: no Ray cluster answers there: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", ["paper", "authors"])
def test_a_study_at_paper_scale_can_be_planned_before_anything_is_fetched(tmp_path: Path, recipe: str) -> None:
    arguments = ["plan", "data_fraction", "--scale", "paper", "--recipe", recipe, "--data-dir", str(tmp_path / "data")]
    code = (
        "import sys, run_study\n"
        f"sys.argv = ['run_study.py', *{arguments!r}, *{where(tmp_path)!r}]\n"
        "try: run_study.main()\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'ray', 'timm'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=env, check=True)
    cells = r"│ (cifar100|flowers102_nelorth) +│ (\w+) +│ ([\d.]+) +│ (matched \w+) +│ (\d) +│ (\d+) "
    rows = re.findall(cells, done.stdout)
    assert len(rows) == len(set(rows)) == 96
    steps = {("authors", "0.1"): "280", ("authors", "1"): "2737", ("paper", "0.1"): "273", ("paper", "1"): "2681"}
    for fraction in ("0.1", "1"):
        row = ("cifar100", "vit_b16_in21k", fraction, "matched epochs", "0", steps[recipe, fraction])
        assert row in rows
    assert "their states are unknown" in done.stdout
    for absent in ("dataset cifar100", "dataset flowers102_nelorth", "weights of vit_b16_in21k", "bit_r50x1_in21k"):
        assert absent in done.stdout
    assert f"run_study.py fetch data_fraction --scale paper --recipe {recipe}" in done.stdout


def test_fetch_without_network_shows_every_manual_download(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    arguments = ["fetch", "replication", "--scale", "paper", "--data-dir", str(folder)]
    nowhere = "http://127.0.0.1:9"
    done = call(*arguments, HF_HOME=str(tmp_path / "hub"), HF_HUB_OFFLINE="1", http_proxy=nowhere, https_proxy=nowhere)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout
    for url, place in (
        ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", folder / "cifar-10-python.tar.gz"),
        ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", folder / "cifar-100-python.tar.gz"),
        ("https://huggingface.co/datasets/nelorth/oxford-flowers", folder / "flowers102_nelorth"),
        ("timm/vit_base_patch16_224.orig_in21k/resolve/main/model.safetensors", "vit_b16_in21k.safetensors"),
    ):
        assert re.search(rf"{re.escape(url)}.* -> {re.escape(str(place))}", done.stdout), done.stdout


@pytest.mark.parametrize("options", [[], ["--compile"]])
def test_compile_reaches_every_trial_with_a_cache_beside_the_images(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    requested: list[bool] = []

    def no_training(plan: Plan, ledger: Ledger, console: Console, request: ResourceRequest, tags: object) -> None:
        requested.append(grant_resources(request, [Node(cpus=2, gpus=0)]).compiled)
        raise KeyboardInterrupt

    monkeypatch.setattr("study.execution.cluster.start_ray", lambda **_: None)
    monkeypatch.setattr("study.execution.runner.run_plans", no_training)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "to be put back")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    folders = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "quickstart", *folders, *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == EXIT_INTERRUPTED
    assert requested == [bool(options)]
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == (str(cache_dir / "compiled") if options else None)


MODULE = '''"""A study with a loss of its own."""

import torch.nn.functional as F

from my_helper import REDUCTION
from revit.config import FineTuneConfig
from search_spaces.framework import SearchSpace


def scaled(logits, targets):
    return 0.5 * F.cross_entropy(logits, targets, reduction=REDUCTION)


SPACE = SearchSpace(
    name="my_study",
    question="Does a smaller loss train less?",
    base=FineTuneConfig(
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=2, num_evals=1
    ),
    scientific={"loss": ("cross_entropy", "my_study:scaled")},
    seeds=(0,),
)
'''


@pytest.mark.slow
def test_a_study_anywhere_trains_with_a_function_of_its_own_and_every_printed_command_works(
    ray_cluster: None, one_slot: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my studies"
    folder.mkdir()
    (folder / "my_helper.py").write_text('REDUCTION = "none"\n')
    file = folder / "my_study.py"
    file.write_text(MODULE)
    options = ["my studies/my_study.py", *where(tmp_path)]

    def shell(line: str) -> str:
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("my_helper", "my_study"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    done = call_here("run", *options)
    assert done.returncode == 0, done.stderr
    ran = done.stdout
    assert "2 trials, 0 done, 2 to run" in ran
    report = ran.splitlines()[-1].strip()
    assert "report 'my studies/my_study.py'" in report
    assert "wrote" in shell(report)
    page = (tmp_path / "reports" / "my_study" / "report.html").read_text()
    assert "run &#39;my studies/my_study.py&#39;" in page or "my studies/my_study.py" in page
    losses = {record.params["loss"]: record.metrics["test_loss"] for record in trials_of(tmp_path)}
    assert losses["my_study:scaled"] != losses["cross_entropy"]

    file.write_text(MODULE.replace("seeds=(0,)", "seeds=(0, 1)").replace("A study with", "A study, with"))
    assert "4 trials, 2 to run" in shell(shlex.join(command_of("plan", *options))), (
        "a study that grows keeps its trials"
    )
    file.write_text(MODULE.replace("0.5 *", "0.25 *"))
    planned = shell(shlex.join(command_of("plan", *options)))
    assert "2 trials, 1 to run" in planned
    assert "new: loss my_study:scaled changed" in planned


def trials_of(tmp_path: Path) -> list[TrialRecord]:
    return list(Ledger(tmp_path / "mlruns").trials().values())


class Line(NamedTuple):
    """Runs a command line in the folder of a test, on its store, and returns what it prints."""

    tmp_path: Path
    cache_dir: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def folders(self) -> Folders:
        return Folders(store=self.tmp_path / "mlruns", data=self.tmp_path, cache=self.cache_dir)

    def call(self, *arguments: str) -> str:
        self.monkeypatch.chdir(self.tmp_path)
        options = ["--seeds", "1", "--store", "mlruns", "--cache-dir", str(self.cache_dir)]
        self.monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments, *options])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = self.capsys.readouterr()
        assert not stop.value.code, printed.err
        return printed.out


@pytest.fixture
def line(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(tmp_path, cache_dir, monkeypatch, capsys)


def test_a_file_anywhere_has_the_tables_and_reports_of_the_same_study_in_the_package(line: Line) -> None:
    """But for the command, and names that pandas draws for its tables."""
    write_study(search_spaces.load("quickstart"), (0,), line.folders)
    (line.tmp_path / "quickstart.py").write_bytes((ROOT / "search_spaces" / "quickstart.py").read_bytes())
    of_file = line.call("plan", "quickstart.py").replace(" quickstart.py ", " quickstart ")
    assert of_file == line.call("plan", "quickstart")
    texts: list[dict[str, str]] = []
    printed: list[str] = []
    for study, reports in (("quickstart", "a"), ("quickstart.py", "b")):
        printed.append(line.call("report", study, "--reports", reports).replace(f"/{reports}/", "/"))
        paths = [path for path in Path(reports).rglob("*") if path.suffix in (".html", ".md", ".tex", ".csv", ".json")]
        pages = {str(path.relative_to(reports)): path.read_text() for path in paths if path.parent != Path(reports)}
        texts.append(
            {name: re.sub(r"T_\w{5}", "T", page).replace("quickstart.py", "quickstart") for name, page in pages.items()}
        )
    assert printed[0] == printed[1]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 5


def test_a_finished_study_shows_its_table_without_its_cluster(line: Line, free_port: int) -> None:
    write_study(search_spaces.load("quickstart"), (0,), line.folders)
    shown = line.call("run", "quickstart", "--address", f"127.0.0.1:{free_port}")
    assert "nothing to do: every trial is done" in shown
    assert "4/4" in shown or "adam" in shown


def test_a_plan_counts_the_trials_that_searches_will_ask_for(line: Line) -> None:
    """One tested trial per cell, and six or sixteen points before it."""
    (line.tmp_path / "tuned.py").write_text(
        "from revit.config import FineTuneConfig\n"
        "from search_spaces.framework import Range, Search, SearchSpace\n"
        'SPACE = SearchSpace(name="tuned", question="?", base=FineTuneConfig(dataset="digits", resolution=8, steps=9), '
        'scientific={"optimizer.name": ("sgd", "adam")}, nuisance={"optimizer.lr": Range(1e-4, 1, log=True)}, '
        "search=Search(num_trials=6))\n"
    )
    printed = line.call("plan", "tuned.py")
    assert "tuned: searches" in printed
    assert printed.count("0 of 6: 6 to come") == 2
    assert "\n14 trials, 14 to run\n" in printed
    assert "(quasi_random, 6 points in each): optimizer.lr in Range(0.0001, 1, log=True)" in printed
    missing = line.call("plan", "replication", "--recipe", "vit_2021")
    assert "\n3 trials and 12 of searches; their states are unknown" in missing


def test_settings_are_a_study_of_their_own_and_some_cells_the_same(line: Line) -> None:
    """The cells of SGD of quickstart are finished with one seed."""
    write_study(with_cells(search_spaces.load("quickstart"), {"optimizer": ["sgd"]}), (0,), line.folders)
    assert "4 trials, 2 to run" in line.call("plan", "quickstart")
    assert "2 trials, 0 to run" in line.call("plan", "quickstart", "--only", "optimizer=sgd")
    assert "1 trials, 1 to run" in line.call(
        "plan", "quickstart", "--only=optimizer=adam", "--only=schedule.name=cosine"
    )
    assert "4 trials, 2 to run" in line.call("plan", "quickstart", "--set", "steps=120"), "equal trials are shared"
    changed = line.call("plan", "quickstart", "--set", "steps=50", "--set", "optimizer.lr=.3")
    assert "4 trials, 4 to run" in changed
    assert "set in every trial, over the study's own values: steps = 50, optimizer.lr = 0.3" in changed
    ran = line.call("run", "quickstart", "--only", "optimizer=sgd")
    assert "nothing to do: every trial is done" in ran
    assert "report quickstart --seeds 1 --only optimizer=sgd" in ran
    for arguments, folder in {
        (): "quickstart-seeds-1",
        ("--only", "optimizer=sgd"): "quickstart-only-optimizer-sgd-seeds-1",
        ("--set", "steps=120"): "quickstart-steps-120-seeds-1",
    }.items():
        shown = line.call("report", "quickstart", *arguments)
        assert f"wrote {line.tmp_path}/reports/{folder}/report.html" in shown
        assert shown.splitlines()[-1] == f"open it in a browser: file://{line.tmp_path}/reports/{folder}/report.html"
    pages = {path.parent.name: path.read_text() for path in line.tmp_path.glob("reports/*/tables.md")}
    assert [("Adam" in pages[f"quickstart{part}-seeds-1"]) for part in ("", "-only-optimizer-sgd")] == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["quickstart", "--sampler=tpe"], "sampler = 'tpe': quickstart must have nuisance axes, and there is nothing"),
        (["quickstart", "--num-trials=2"], "num_trials = 2: quickstart must have nuisance axes"),
        (["replication", "--recipe=vit_2021", "--sampler=sobol"], "sampler = 'sobol': must be one of grid,"),
        (["replication", "--recipe=vit_2021", "--pruner=asha"], "pruner = 'asha': must be one of successive_halving,"),
        (["replication", "--recipe=vit_2021", "--time-budget=0"], "time_budget_s = 0.0: must be above 0"),
        (["replication", "--recipe=vit_2021", "--time-budget=nan"], "time_budget_s = nan: must be"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run", "report"])
def test_a_wrong_search_is_one_line(
    command: str,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_study.py", command, *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("option", ["--set=stepz=5", "--set=optimizer.name=sgd", "--only=optimizer=sdg", "--only=x"])
@pytest.mark.parametrize("command", ["plan", "run", "report", "fetch"])
def test_a_wrong_choice_is_one_line(
    command: str, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run_study.py", command, "quickstart", option])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")


JOINED = """
import os, subprocess, sys
from ray.cluster_utils import Cluster

nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
try:
    sys.exit(subprocess.run([*sys.argv[1:], "--address", nodes.address]).returncode)
finally:
    nodes.shutdown()
"""
"""Runs a command on a Ray cluster that was started before, in another folder."""


@pytest.mark.long
def test_workers_of_a_cluster_find_the_functions_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_helper.py").write_text('REDUCTION = "none"\n')
    file = tmp_path / "mine" / "my_study.py"
    file.write_text(MODULE)
    command = [sys.executable, "-W", "ignore", "-c", JOINED, *command_of("run", str(file), *where(tmp_path))]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [record.state for record in trials_of(tmp_path)] == [TrialState.FINISHED] * 2
