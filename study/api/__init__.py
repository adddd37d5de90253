"""Studies as functions, for notebooks; the command line calls nothing else.

    from study import api

    results = api.results("quickstart")     # a row per finished trial
    api.figure("quickstart")

`plan`, `run`, `results`, `search_points`, `effects`, `verdicts`, `calibration`, `ensembles`, `reselect`, `figure`,
`report`, `export` take a study as a `SearchSpace`, by its name, or by the path of its file, and the keywords of
`Options`, with the defaults of the command line. The others are the steps of the commands, on folders and a ledger that
are opened once for several studies.
"""

from typing import TYPE_CHECKING

from study.api.commands import (
    answer_lines,
    cache_compiled,
    check_address,
    check_can_run,
    check_uniform,
    claim_verdicts,
    count_trials,
    explain_failures,
    fetch,
    find_missing,
    forecast_studies,
    measure_study,
    plan_study,
    preview_study,
    read_records,
    run_plans,
    study_effects,
    write_bundle,
    write_index,
    write_report,
)
from study.api.designs import plan_all_rounds
from study.api.exports import export_model
from study.api.launch_preparation import prepare_run, rehearse_plans
from study.api.live_status import current_state, open_feed, watch
from study.api.merging import find_mergeable, open_other_store, summarize_mergeable, take_mergeable
from study.api.missing_models import describe_missing_models
from study.api.notebook import (
    Options,
    calibration,
    effects,
    ensembles,
    export,
    figure,
    plan,
    report,
    reselect,
    results,
    run,
    search_points,
    verdicts,
)
from study.api.opening import (
    ALL,
    DEFAULT_CACHE,
    DEFAULT_DATA,
    DEFAULT_STORE,
    Study,
    load_studies,
    load_study,
    make_folders,
    open_ledger,
)
from study.api.prediction import find_images, load_exported, predict_files
from study.api.rounds import choose_designs, run_until_decided
from study.api.upkeep import (
    diagnose,
    find_prunable,
    is_transient,
    remove,
    serve_dashboard,
    summarize_prunable,
    ui_command,
    ui_path,
)
from study.api.verification import compare_registration, read_history, verify_study
from study.api.versions import compare_versions, read_version, write_comparison
from study.execution.resources import ResourceRequest

if TYPE_CHECKING:
    from study.analysis.effects import StudyEffects as StudyEffects
    from study.analysis.verdicts import ClaimVerdict as ClaimVerdict
    from study.api.exports import Exported as Exported
    from study.execution.recorder import RunResult as RunResult
    from study.forecast.study_forecast import Forecast as Forecast
    from study.ledger.ledger import Ledger as Ledger
    from study.ledger.records import TrialRecord as TrialRecord
    from study.maintenance.merge import Merge as Merge
    from study.plan import Folders as Folders
    from study.plan import Plan as Plan
    from study.registration.history import History as History

__all__ = [
    "ALL",
    "DEFAULT_CACHE",
    "DEFAULT_DATA",
    "DEFAULT_STORE",
    "Options",
    "ResourceRequest",
    "Study",
    "answer_lines",
    "cache_compiled",
    "calibration",
    "check_address",
    "check_can_run",
    "check_uniform",
    "choose_designs",
    "claim_verdicts",
    "compare_registration",
    "compare_versions",
    "count_trials",
    "current_state",
    "describe_missing_models",
    "diagnose",
    "effects",
    "ensembles",
    "explain_failures",
    "export",
    "export_model",
    "fetch",
    "figure",
    "find_images",
    "find_mergeable",
    "find_missing",
    "find_prunable",
    "forecast_studies",
    "is_transient",
    "load_exported",
    "load_studies",
    "load_study",
    "make_folders",
    "measure_study",
    "open_feed",
    "open_ledger",
    "open_other_store",
    "plan",
    "plan_all_rounds",
    "plan_study",
    "predict_files",
    "prepare_run",
    "preview_study",
    "read_history",
    "read_records",
    "read_version",
    "rehearse_plans",
    "remove",
    "report",
    "reselect",
    "results",
    "run",
    "run_plans",
    "run_until_decided",
    "search_points",
    "serve_dashboard",
    "study_effects",
    "summarize_mergeable",
    "summarize_prunable",
    "take_mergeable",
    "ui_command",
    "ui_path",
    "verdicts",
    "verify_study",
    "watch",
    "write_bundle",
    "write_comparison",
    "write_index",
    "write_report",
]
