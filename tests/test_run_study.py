"""The command line as a user meets it: another process, its output, its exit code."""

import errno
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from rich.console import Console

import run_study
import search_spaces
from revit.datasets.registry import DATASETS
from revit.training.fine_tune import evenly_spaced_steps
from study import RAY_BEYOND_THIS_MACHINE
from study.cli.console import EXIT_INTERRUPTED
from study.execution import cluster
from study.execution.resources import Node, ResourceRequest, grant_resources
from study.ledger.ledger import Ledger, tracking_uri
from study.ledger.states import TrialState
from study.plan import Plan

ROOT = Path(__file__).parent.parent


def command_of(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run_study.py"), *arguments]


def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_of(*arguments), capture_output=True, text=True, timeout=240, env={**os.environ, **env}, check=False
    )


def where(tmp_path: Path) -> list[str]:
    return ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(tmp_path / "cache")]


def test_list_shows_every_study_and_its_question() -> None:
    done = call("list")
    assert done.returncode == 0
    assert re.search(r"quickstart\s+12\s+Does the learning-rate schedule matter", done.stdout)


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["run", "--help"]])
def test_list_and_help_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, run_study\n"
        f"sys.argv = ['run_study.py', *{arguments!r}]\n"
        "try: run_study.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'mlflow', 'numpy', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize(
    "command",
    [[], ["list"], ["models"], ["axes"], ["plan"], ["fetch"], ["run"], ["report"], ["doctor"], ["prune"], ["ui"]],
)
def test_help_says_what_a_command_does(command: list[str]) -> None:
    done = call(*command, "--help")
    assert done.returncode == 0
    assert "Usage: run_study.py" in done.stdout
    assert len(done.stdout.splitlines()) > 5


WRONG = {
    "an unknown study": (["run", "quikstart"], "did you mean quickstart"),
    "an unknown option": (["run", "quickstart", "--sedes", "3"], "--sedes"),
    "no seeds": (["run", "quickstart", "--seeds", "0"], "--seeds"),
    "more CPUs than there are": (["run", "quickstart", "--cpus-per-trial", "9999"], "--cpus-per-trial = 9999: this"),
    "more GPUs than a trial uses": (
        ["run", "quickstart", "--gpus-per-trial", "2"],
        "Invalid value for '--gpus-per-trial'",
    ),
    "a cluster that is none": (["run", "quickstart", "--address", "auto"], "--address = auto: must be HOST:PORT"),
    "a store that is a file": (["run", "quickstart", "--store", str(ROOT / "LICENSE")], "cannot be written"),
    "a cache that is a file": (["run", "quickstart", "--cache-dir", str(ROOT / "LICENSE")], "cannot be written"),
    "a store that is nested too deep": (["run", "quickstart", "--store", "NESTED"], "cannot be written: it is nested"),
    "a corrupt store": (["plan", "quickstart", "--store", "CORRUPT"], "no store that MLflow can open"),
    "a report of no store": (["report", "quickstart"], "there is no store at"),
    "a password in an address": (["plan", "quickstart", "--store", "http://me:pass@127.0.0.1:9"], "TRACKING_PASSWORD"),
    "a server that is not there": (["plan", "quickstart", "--store", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
    "to prune a server": (["prune", "--store", "http://127.0.0.1:9"], "prune needs the folder of a store"),
    "no store to show": (["ui", "--store", "/nowhere/at/all"], "run a study first"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_clear_line_and_exit_code_2(case: str, tmp_path: Path) -> None:
    arguments, told = WRONG[case]
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "mlflow.db").write_bytes(b"no database, whatever its name says" * 100)
    stand_ins = {"CORRUPT": str(tmp_path / "corrupt"), "NESTED": str(tmp_path / ("a/" * 1900))}
    arguments = [stand_ins.get(word, word) for word in arguments]
    store = [] if "--store" in arguments else ["--store", str(tmp_path / "mlruns")]
    done = call(*arguments, *store, REVIT_CACHE_DIR=str(tmp_path / "cache"), RAY_TMPDIR=str(tmp_path / "ray"))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "me:pass" not in done.stderr + done.stdout
    assert not (tmp_path / "ray").exists(), "Ray was not started"


WRONG_STUDIES = {
    "an axis that is none": ('scientific={"optimizzer.lr": (1.0,)}', "did you mean optimizer.lr"),
    "a choice that is none": ('scientific={"optimizer.name": ("sdg",)}', "must be one of sgd, adam, adamw"),
    "a resolution between patches": ('scientific={"resolution": (30,)}', "resolution = 30: must be a multiple of 4"),
    "a negative lr": ('scientific={"optimizer.lr": (-1.0,)}', "optimizer.lr = -1.0: must be above 0"),
    "no steps": ('scientific={"steps": (0,)}', "steps = 0: must be above 0"),
    "an empty batch": ('scientific={"batch_size": (0,)}', "batch_size = 0: must be above 0"),
    "too small a fraction": ('scientific={"data_fraction": (0.001,)}', "leaves a class empty"),
    "a dataset that is not there": ('scientific={"dataset": ("folder:/nowhere",)}', "there is no such folder"),
    "an image that is none": ('scientific={"dataset": ("folder:FOLDER",)}', "cat/1.jpg cannot be decoded"),
    "a module that ends early": ("scientific={", "search_spaces/asks.py cannot be read: SyntaxError"),
}


@pytest.mark.parametrize("case", WRONG_STUDIES)
def test_a_wrong_study_is_one_clear_line_before_anything_starts(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    axes, told = WRONG_STUDIES[case]
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_text("no image")
    axes = axes.replace("FOLDER", str(tmp_path / "photos"))
    [line] = refused("run", 'dataset="digits", steps=10', axes, tmp_path, monkeypatch, capsys).splitlines()
    assert line.startswith("error: ")
    assert told in line


def refused(
    command: str,
    base: str,
    axes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """What a command tells of a study of one's own that cannot be."""
    (tmp_path / "asks.py").write_text(
        "from revit.config import FineTuneConfig\n"
        "from search_spaces.framework.space import SearchSpace\n"
        f'SPACE = SearchSpace(name="asks", question="?", base=FineTuneConfig({base}), {axes})\n'
    )
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "argv", ["run_study.py", command, "asks", *where(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    sys.modules.pop("search_spaces.asks", None)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip()


def test_a_store_that_goes_away_between_two_looks_at_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away() -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("study.cli.main.app", away)
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: a disk or server does not serve for now: [Errno {errno.ESTALE}] Stale file handle",
        "nothing is lost: give the same command again later",
    ]


@pytest.mark.parametrize("budget", ["steps=10", "epochs=1.0"])
def test_planning_on_a_folder_that_is_not_there_is_one_line_too(
    budget: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, axes = f'dataset="folder:/nowhere", {budget}', 'scientific={"optimizer.lr": (1.0,)}'
    assert "there is no such folder" in refused("plan", base, axes, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(("name", "told"), [("resnet18x", "closest: resnet18"), ("swin_s3_tiny_224", "doesn't match")])
def test_planning_a_model_that_cannot_be_trained_is_one_line_too(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    base, axes = 'dataset="digits", steps=1', f'scientific={{"model": {{"a": {{"model.name": "{name}", PLAIN}}}}}}'
    axes = axes.replace("PLAIN", '"model.pretrained": False')
    [line] = refused("plan", base, axes, tmp_path, monkeypatch, capsys).splitlines()
    assert line.startswith(f"error: model.name = '{name}'")
    assert told in line


def wait_for_progress(store: Path, process: subprocess.Popen[str]) -> None:
    """Return once a trial has validated, so that there is something to lose."""
    while not list(store.glob("work/*/checkpoint.pt")):
        assert process.poll() is None, "the study ended before it could be interrupted"
        time.sleep(0.2)


def listening(pid: int) -> list[str]:
    """Addresses on which a process and its descendants listen."""
    driver = psutil.Process(pid)
    sockets = [each for process in (driver, *driver.children(recursive=True)) for each in process.net_connections()]
    assert sockets, "Ray has some"
    return [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]


def test_a_study_interrupted_resumed_and_asked_again(tmp_path: Path) -> None:
    """One life of a study: Ctrl-C, SIGTERM, the command that continues, the table, nothing left, the report."""
    store = tmp_path / "mlruns"
    arguments = ["run", "quickstart", "--seeds", "1", *where(tmp_path)]
    process = subprocess.Popen(
        command_of(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "RAY_ADDRESS": "127.0.0.1:9"},  # where nobody answers
    )
    wait_for_progress(store, process)
    assert {address for address in listening(process.pid) if not address.startswith(("127.", "::ffff:127."))} == set()
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "RAY_ADDRESS = 127.0.0.1:9 is ignored: --address 127.0.0.1:9 joins that cluster" in stdout
    assert re.search(r"resume with\n  \S*python\S* run_study.py run quickstart --seeds 1 --store \S+mlruns", stdout)
    runs = all_runs(store)
    assert "RUNNING" not in {run.info.status for run in runs}
    stopped = [run for run in runs if run.info.status == "KILLED" and run.data.tags["kind"] == "trial"]
    assert stopped
    assert all(0 < run.data.metrics["num_steps_done"] < 120 for run in stopped)

    with Path("/dev/full").open("w") as full:  # what is printed is lost, and nothing else
        again = subprocess.Popen(
            command_of(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, process_group=0
        )
    while not any(run.info.status == "RUNNING" and run.data.tags["kind"] == "trial" for run in all_runs(store)):
        assert again.poll() is None
        time.sleep(0.5)
    os.killpg(again.pid, signal.SIGTERM)  # as schedulers do
    _, stderr = again.communicate(timeout=120)
    assert again.returncode == 130
    assert stderr == "what is printed is lost: No space left on device\n"
    runs = all_runs(store)
    assert "RUNNING" not in {run.info.status for run in runs}
    assert {run.data.tags.get("state") for run in runs if run.data.tags["kind"] == "trial"} <= {
        TrialState.FINISHED,
        TrialState.INTERRUPTED,
    }

    resumed = call(*arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert "Traceback" not in resumed.stderr
    assert re.search(r"python\S* run_study.py report quickstart --seeds 1 --store", resumed.stdout)
    interval = r"\d\d\.\d\d to \d\d\.\d\d \(images only\)"
    assert re.search(rf"sgd\s+│\s+cosine\s+│\s+\d\d\.\d\d │ {interval} │\s+1", resumed.stdout)
    trials = [run for run in all_runs(store) if run.data.tags["kind"] == "trial"]
    assert len(trials) == 4
    assert {run.info.status for run in trials} == {"FINISHED"}
    client = MlflowClient(tracking_uri(store))
    for run in trials:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")]
        assert steps == sorted(evenly_spaced_steps(120, 100)), "every step once, though trials were resumed"

    Ledger(store).open_launch("quickstart", {})  # one that died after its last trial, before its end
    asked = call(*arguments)
    assert asked.returncode == 0
    assert asked.stdout.startswith(f"store: {store}\n")
    assert "nothing to do" in asked.stdout
    launches = [run for run in all_runs(store) if run.data.tags["kind"] == "launch"]
    assert sorted(run.info.status for run in launches) == ["FINISHED", "KILLED", "KILLED", "KILLED"]

    reported = call("report", "quickstart", "--seeds", "1", *where(tmp_path), "--reports", str(tmp_path / "reports"))
    assert reported.returncode == 0
    cells = (tmp_path / "reports" / "quickstart-seeds-1" / "cells.csv").read_text().splitlines()
    assert len(cells) == 1 + 4
    assert (tmp_path / "reports" / "quickstart-seeds-1" / "trials.parquet").exists()

    nowhere = call("report", "quickstart", "--seeds", "1", *where(tmp_path), "--reports", str(ROOT / "LICENSE"))
    assert nowhere.returncode == 2
    assert "cannot be written" in nowhere.stderr


@pytest.mark.long
@pytest.mark.parametrize("to_all", [False, True], ids=["its group", "every process"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_study_on_a_terminal_that_goes_away_ends_in_peace(
    tmp_path: Path, number: signal.Signals, to_all: bool
) -> None:
    """Whoever is signaled: the driver's group, as schedulers do, or every process there is, as some init systems do."""
    store = tmp_path / "mlruns"
    driver_side, terminal = os.openpty()
    process = subprocess.Popen(
        command_of("run", "quickstart", "--seeds", "1", *where(tmp_path)),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    reader = threading.Thread(target=drain, args=(driver_side, stop := threading.Event()))
    reader.start()
    wait_for_progress(store, process)
    children = psutil.Process(process.pid).children(recursive=True)
    stop.set()
    reader.join()
    os.close(driver_side)  # whatever is printed from here on is an EIO
    os.killpg(process.pid, number)
    if to_all:
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)
    assert process.wait(timeout=120) == 130
    _, living = psutil.wait_procs(children, timeout=30)
    assert living == []
    trials = [run for run in all_runs(store) if run.data.tags["kind"] == "trial"]
    assert trials
    assert {run.data.tags["state"] for run in trials} <= {TrialState.FINISHED, TrialState.INTERRUPTED}
    if not to_all:
        saved = [run for run in trials if run.data.tags["state"] == TrialState.INTERRUPTED]
        assert all((store / "work" / run.data.tags["identity"] / "checkpoint.pt").exists() for run in saved)


def drain(file: int, stop: threading.Event) -> None:
    """Read what is printed on a terminal, until told to stop, or nobody is left to print."""
    with suppress(OSError):
        while not stop.is_set():
            if select.select([file], [], [], 0.2)[0]:
                os.read(file, 65536)


def all_runs(store: Path) -> list:
    client = MlflowClient(tracking_uri(store))
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


def test_a_finished_study_is_found_done_without_torch_and_ray(tmp_path: Path) -> None:
    code = (
        "import sys, run_study\n"
        f"sys.argv = ['run_study.py', 'plan', 'quickstart', *{where(tmp_path)!r}]\n"
        "try: run_study.main()\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'ray'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert "12 trials, 12 to run" in done.stdout
    assert "disk: 2.3 MB for 4 models, and up to 5.1 MB per running trial" in done.stdout


@pytest.mark.parametrize("recipe", ["paper", "authors"])
def test_a_study_of_the_papers_scale_can_be_planned_before_anything_is_fetched(tmp_path: Path, recipe: str) -> None:
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
    steps = {("authors", "0.1"): "280", ("authors", "1.0"): "2737", ("paper", "0.1"): "273", ("paper", "1.0"): "2681"}
    for fraction in ("0.1", "1.0"):
        row = ("cifar100", "vit_b16_in21k", fraction, "matched epochs", "0", steps[recipe, fraction])
        assert row in rows
    assert "their states are unknown" in done.stdout
    assert re.search(
        r"^disk: \d+\.\d GB for \d+ models, and up to 2\.1 GB per running trial", done.stdout, re.MULTILINE
    )
    for absent in ("dataset cifar100", "dataset flowers102_nelorth", "weights of vit_b16_in21k", "bit_r50x1_in21k"):
        assert absent in done.stdout
    assert f"run_study.py fetch data_fraction --scale paper --recipe {recipe}" in done.stdout
    assert f"dataset flowers102_nelorth: {DATASETS['flowers102_nelorth'].caveat}" in done.stdout


def test_fetch_without_network_names_every_file_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
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


def test_the_doctor_reports_and_repairs_problems(tmp_path: Path) -> None:
    folders = [*where(tmp_path), "--data-dir", str(tmp_path / "data")]
    assert "no store yet" in call("doctor", *folders).stdout
    Ledger(tmp_path / "mlruns").open_launch("example", {})
    unhealthy, repaired, healthy = (call("doctor", *folders, *fix) for fix in ([], ["--fix"], []))
    assert re.search("^fixable  store: 1 orphaned RUNNING runs", unhealthy.stdout, re.MULTILINE)
    assert re.search("^fixed    store: 1 orphaned RUNNING runs", repaired.stdout, re.MULTILINE)
    assert (unhealthy.returncode, repaired.returncode, healthy.returncode) == (1, 0, 0)


def test_prune_removes_only_with_yes(tmp_path: Path) -> None:
    store = tmp_path / "mlruns"
    assert "no store yet" in call("prune", "--store", str(store)).stdout
    assert not store.exists()
    ledger = Ledger(store)
    launch = ledger.open_launch("quickstart", {})
    ledger.delete(launch)
    shown = call("prune", "all", "--store", str(store))
    assert shown.returncode == 0, shown.stderr
    assert "total" in shown.stdout
    assert "deleted in MLflow" not in shown.stdout, "`all` does not name quickstart"
    shown = call("prune", "quickstart", "--store", str(store))
    assert "1 runs deleted in MLflow" in shown.stdout
    assert re.search(r"remove it with\n  .*run_study.py prune quickstart --store \S+ --yes", shown.stdout)
    assert str(ledger.artifact(launch, "").parent) in shown.stdout, "each path is named"
    assert len(ledger.run_infos()) == 1
    unknown = call("prune", "--models", "quickstart", "--store", str(store))
    assert (unknown.returncode, "the store has trials of these studies: none" in unknown.stderr) == (2, True)
    assert "removed" in call("prune", "quickstart", "--store", str(store), "--yes").stdout
    assert ledger.run_infos() == []


def test_whoever_opens_the_ui_or_ray_to_others_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(tmp_path / "mlruns")
    served: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: served.append(command))
    for host, is_warned in (("127.0.0.1", False), ("0.0.0.0", True)):
        monkeypatch.setattr(sys, "argv", ["run_study.py", "ui", "--store", str(tmp_path / "mlruns"), "--host", host])
        with pytest.raises(SystemExit):
            run_study.main()
        assert served[-1][served[-1].index("--host") + 1] == host
        assert ("can read, change and delete every result" in capsys.readouterr().out) == is_warned
    monkeypatch.setenv(RAY_BEYOND_THIS_MACHINE, "1")
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: True)
    with pytest.warns(UserWarning, match="Ray can be reached, and given code to run, from other machines"):
        cluster.start_ray()


def test_ui_serves_mlflow_on_this_machine(tmp_path: Path, free_port: int) -> None:
    ledger = Ledger(tmp_path / "mlruns")
    ledger.close_launch(ledger.open_launch("example", {}), TrialState.FINISHED, {})
    arguments = ["ui", "--store", str(tmp_path / "mlruns"), "--port", str(free_port)]
    process = subprocess.Popen(
        command_of(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert "MLflow" in eventually_get(f"http://127.0.0.1:{free_port}/", process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def test_ui_on_a_port_that_is_taken_says_so_before_it_shows_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(tmp_path / "mlruns")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["run_study.py", "ui", "--store", str(tmp_path / "mlruns"), "--port", port])
        with pytest.raises(SystemExit) as stop:
            run_study.main()
    assert stop.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    [line] = told.err.splitlines()
    assert line.startswith(f"error: --host = 127.0.0.1, --port = {port}: cannot be listened on: Address already in use")


def eventually_get(url: str, process: subprocess.Popen[bytes]) -> str:
    while True:
        assert process.poll() is None, "the UI ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.5)


@pytest.mark.parametrize("options", [[], ["--compile"]])
def test_compile_reaches_every_trial_and_what_is_compiled_is_kept_beside_the_images(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    asked: list[bool] = []

    def no_training(plan: Plan, ledger: Ledger, console: Console, request: ResourceRequest, tags: object) -> None:
        asked.append(grant_resources(request, [Node(cpus=2, gpus=0)]).compiled)
        raise KeyboardInterrupt

    monkeypatch.setattr("study.execution.runner.run_plan", no_training)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "to be put back")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    folders = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "quickstart", *folders, *options])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    assert stop.value.code == EXIT_INTERRUPTED
    assert asked == [bool(options)]
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == (str(cache_dir / "compiled") if options else None)
