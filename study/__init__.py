"""Studies: many trials, planned, run, recorded, reported."""

import os

RAY_BEYOND_THIS_MACHINE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable, whatever its name says: at 0 all its servers listen on 127.0.0.1, at 1 on every address there is."""

NODE_DEATHS = r"Raylet is terminated|has been marked dead because the detector"
"""Regex of messages that Ray does not print: a node died, with the last lines of its log, which Ray's logs have."""

os.environ.setdefault(RAY_BEYOND_THIS_MACHINE, "0")  # here, as Ray reads both while it is imported
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", NODE_DEATHS)
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at import, too: MLflow's telemetry
