"""Names of files or folders in a store.

mlruns/
    mlflow.db                 MLflow's database: one experiment, its launches and trials
    open.lock                 held while the database is created or migrated
    artifacts/RUN_ID/artifacts/
        config.json, built.json, predictions.parquet, model.safetensors, internals.npz, traceback.txt
        registration/             of a launch: record.json, a manifest per claim
    locks/NAME.lock           a lock of a trial or launch
    work/IDENTITY/            a running trial: checkpoint.pt, artifacts/
    optuna/STUDY.journal      mirror of a study's searches for optuna-dashboard
    inputs/NAME-DIGEST        images or weights for nodes of a cluster that lack them
    tune/LAUNCH/              files of Ray Tune, and the file that stops its trials
    logs/                     output of Ray and its workers, a file for each launch

`work/`, `inputs/` and the file that stops trials are in the storage: the same folder, or that of `--storage` below the
key of the store. In an object store, `work/IDENTITY/` has checkpoint.pt-STEP, and artifacts-ATTEMPT/.
"""

UI_HOST, UI_PORT = "127.0.0.1", 5000
"""Address of MLflow's UI on a store folder, unless it is given another."""

DATABASE, OPEN_LOCK = "mlflow.db", "open.lock"
ARTIFACTS, LOCKS, WORK, TUNE, MIRRORS = "artifacts", "locks", "work", "tune", "optuna"
INPUTS, LOGS = "inputs", "logs"
CHECKPOINT, STOP_FILE = "checkpoint.pt", "stop"

CONFIG, BUILT, PREDICTIONS = "config.json", "built.json", "predictions.parquet"
MODEL, INTERNALS, TRACEBACK = "model.safetensors", "internals.npz", "traceback.txt"
NEEDED_FILES = (CONFIG, BUILT, PREDICTIONS)
"""Artifacts that every finished trial has: tables and reports are made from them."""
REPORT_FOLDER = "report"
"""Folder of a launch's artifacts that holds the reports written of it."""
REGISTRATION_FOLDER, REGISTRATION = "registration", "record.json"
"""Folder of a launch's artifacts, and of a report, with what is registered; the record in it."""
