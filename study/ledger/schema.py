"""Names of the tags, metrics, values in MLflow; names of files are in `study.layout`.

A launch is a run; its trials are child runs. Params of a trial are its flat config, by dotted path.
"""

from revit.training.metrics import CHANGE, PREFIXES, find_metric, own_key, split_prefix

EXPERIMENT = "vit-fine-tuning"
"""Experiment that holds all runs."""

# Tags of launches and trials.
KIND_TAG = "kind"
"""Kind of a run: LAUNCH, TRIAL or REHEARSAL."""
LAUNCH, TRIAL, REHEARSAL = "launch", "trial", "rehearsal"
STUDY_TAG = "study"
"""Study that a launch ran, whose launch trained a trial, or that was rehearsed."""
RECIPE_TAG, SCALE_TAG = "recipe", "scale"
"""Recipe and scale of that study; absent where it has a base config of its own."""
STATE_TAG = "state"
"""TrialState of a trial; of a launch, the state in which it ended."""

REGISTRATION_TAG = "registration"
"""Digest of the record that a launch keeps before its first result (`study.registration`); of a trial, of the record
under which it first began. Absent from runs of earlier versions."""

# Tags of runs that another store had first.
SOURCE_STORE_TAG, SOURCE_RUN_TAG = "merged.store", "merged.run"
"""Address of the first store that had a run, and the run's id there."""

# Tags of trials.
FIRST_RESULT_TAG = "first_result_ms"
"""Time of the first result of a trial, in milliseconds since 1970, where another store had it, or a run here that the
trial replaced; absent where its own run had it."""
IDENTITY_TAG = "identity"
"""Identity of a trial; one run per identity."""
STUDY_PREFIX = "study."
"""Prefix of one tag for each study that asks for a trial: `study.NAME` is YES."""
CELL_PREFIX = "cell."
"""Prefix of the cell of a trial in each such study: its value on every scientific axis."""
POINT_PREFIX = "point."
"""Prefix of the point of a trial in each such study: its value on every axis, nuisance axes included."""
KEEP_PREFIX = "keep_model."
"""Prefix of one tag for each study that tests a trial: `keep_model.NAME` is YES while the study keeps its model, else
NO. Absent from runs of earlier versions, whose models are kept."""
YES, NO = "yes", "no"
"""Values of a tag. Of a tag that is only there or not, YES."""
SEARCH_PREFIX = "search."
"""Prefix of one tag for each search that a trial is part of: `search.STUDY.KEY` has its point (`records.SearchTag`)."""
SEED_TAG, DATASET_TAG, MODEL_TAG = "seed", "dataset", "model"
"""Fields of the config that people filter by most, as tags."""
PHASE_TAG = "phase"
"""SEARCH_PHASE for a trial that never reads the test split, else TEST_PHASE. Runs of earlier versions were tested."""
SEARCH_PHASE, TEST_PHASE = "search", "test"
DIGEST_PREFIX = "digest."
"""Prefix of the digests of data, splits and weights, and of the training version (`revit.identity.InputDigests`)."""
NUM_TRAIN_TAG, NUM_ALL_TAG, NUM_TEST_TAG = "num_train", "num_all", "num_test"
"""Numbers of images: trained on, of how many these are a fraction, and tested on; `SET/num_test` of a further set."""
BUILT_TAG = "built"
"""Digest of what was built for a trial."""
MICRO_BATCH_TAG = "micro_batch"
"""Images per forward pass."""
DEVICE_TAG, PRECISION_TAG, COMPILED_TAG = "device", "precision", "compiled"
"""Device that a trial ran on, its number format there, and whether the model was compiled."""
WORKERS_TAG = "workers"
"""Number of processes that trained a trial together, each on a device of its own. Earlier runs had one."""
THREADS_TAG, TORCH_TAG, TIMM_TAG = "threads", "torch", "timm"
"""CPU threads of each worker of a trial, and versions of the libraries."""
ENVIRONMENT_TAGS = (DEVICE_TAG, PRECISION_TAG, COMPILED_TAG, WORKERS_TAG, THREADS_TAG, TORCH_TAG, TIMM_TAG)
"""Tags that say what a trial or a rehearsal ran on."""
MESSAGE_TAG, FAILURE_TAG = "message", "failure"
"""One line on why a trial did not finish, and the class of its failure (`study.execution.failures`)."""

# Tags of launches.
COMMAND_TAG, HOST_TAG, GIT_DIRTY_TAG = "command", "host", "git_dirty"
"""Command that was typed, host name, and whether the code differed from its commit."""
LOG_TAG = "log"
"""File on that host with the output of Ray and its workers."""
LOCK_TAG = "lock"
"""Name of the lock that a launch holds, from before its run is created until it has ended."""
HELD_LOCK_PREFIX = "held_lock."
"""Prefix of one tag for each lock that a launch holds on a server: `held_lock.NAME` is YES."""
HEARTBEAT_TAG = "heartbeat"
"""Number of heartbeats that a launch has sent."""
EVICTED_TAG = "evicted"
"""YES once another launch has declared this one dead."""
DECISION_PREFIX = "decision."
"""Prefix of the tags with the decision rule of a launch, by which claims get their verdicts, where it names one."""
ESTIMATE_PREFIX, ACTUAL_PREFIX = "estimate.", "actual."
"""Prefixes of what a launch was expected to take when it began, and of what it took: each with FORECAST_VALUES."""
WALL_S, DEVICE_S, PEAK_BYTES, START_S = "wall_s", "device_s", "peak_bytes", "start_s"
FORECAST_VALUES = (WALL_S, DEVICE_S, PEAK_BYTES, START_S)
"""Seconds of the launch, seconds of all its trials together, largest peak memory of a trial in bytes, and seconds of
the launch in which no trial runs, at its start and end."""

# Tags that MLflow owns: its UI reads them.
PARENT_TAG = "mlflow.parentRunId"
"""Run in which a run is nested: of a trial, its launch's."""
USER_TAG, COMMIT_TAG = "mlflow.user", "mlflow.source.git.commit"
"""User and commit of a launch."""
EXPERIMENT_KIND_TAG, EXPERIMENT_KIND = "mlflow.experimentKind", "custom_model_development"
"""Tag of the experiment by which the UI shows it as training runs."""

# Metrics of trials.
NUM_STEPS_DONE = "num_steps_done"
"""Optimizer steps done; every written row has it."""
TRAIN_LOSS, LEARNING_RATE, GRAD_NORM, IMAGES_PER_S = "train_loss", "lr", "grad_norm", "images_per_s"
"""Metrics at each recorded step."""
VAL_LOSS, VAL_ACCURACY = "val_loss", "val_accuracy"
"""Metrics at each evaluation on validation images."""
CURVE_METRICS = {"loss": VAL_LOSS}
"""Metric at each evaluation by which points are compared while they train; VAL_ACCURACY for other metrics."""
TEST_CURVE_LOSS, TEST_CURVE_ACCURACY = "test_curve_loss", "test_curve_accuracy"
"""Metrics at each evaluation on test images, where a config asks for the test curve."""
TEST_PREFIX, SELECTED_VAL_PREFIX = PREFIXES["test"], PREFIXES["val"]
"""Prefixes of the metrics of predictions of the tested weights, once, at the end (`revit.training.metrics.METRICS`)."""
TEST_ACCURACY, SELECTED_VAL_ACCURACY = f"{TEST_PREFIX}accuracy", f"{SELECTED_VAL_PREFIX}accuracy"
TRAIN_TIME_S = "train_time_s"
"""Seconds of training steps; as the other metrics that METRICS measures while training, once, at the end."""
PEAK_MEMORY = "peak_memory_bytes"
"""Peak memory of a trial or a rehearsal (`revit.training.peak_memory`)."""
EVAL_IMAGES_PER_S = "eval_images_per_s"
"""Images per second of the evaluation of the tested weights."""

# Metrics of rehearsals, whose params are the flat config of a trial of their shape.
STEP_TIME_S = "step_time_s"
"""Seconds of an optimizer step, with its whole batch, once the first has warmed up."""

# Metrics of launches.
NUM_PREFIX = "num_"
"""Prefix of the number of trials that ended in a state: `num_finished`."""


def value_name(metric: str) -> str:
    """Return the metric of a trial that has its value of a metric, on test images if of predictions.

    Args:
        metric: as `find_metric` takes it. A change is not logged: `study.analysis.measured` adds it.
    """
    found, key = find_metric(metric), own_key(metric)
    if found.of_predictions is None:
        return key
    return f"{split_prefix(found.split)}{key}{CHANGE if found.is_change else ''}"


def num_test_name(label: str) -> str:
    """Return the tag with the number of images of a further test set; without a label, of the own test split."""
    return f"{label}/{NUM_TEST_TAG}" if label else NUM_TEST_TAG


def compared_name(metric: str) -> str:
    """Return the metric by which a search compares its trials: of validation images, or measured while training."""
    return val_value_name(metric) if find_metric(metric).of_predictions else metric


def val_value_name(metric: str) -> str:
    """Return the metric of a trial that has its value on validation images, of a key of METRICS of predictions."""
    return f"{SELECTED_VAL_PREFIX}{metric}"
