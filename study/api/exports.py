"""Export of a trial's model as a folder for timm, transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from revit.paths import expand_path

if TYPE_CHECKING:
    from study.ledger.ledger import Ledger
    from study.plan import Plan


class Exported(NamedTuple):
    """A model that was exported.

    Attributes:
        trial: name of its trial: its value on every axis, its seed.
        model: name of its network.
        card: path of its model card.
        is_for_timm: timm and transformers load it.
        lacking: files that it lacks, and why.
        registered: which version of a registered model it is; empty if none.
    """

    folder: Path
    trial: str
    model: str
    card: Path
    is_for_timm: bool
    lacking: list[str]
    registered: str


def export_model(
    planned: "Plan",
    ledger: "Ledger",
    to: Path,
    *,
    cell: Mapping[str, object] | str = "",
    seed: int | str | None = None,
    onnx: bool = False,
    register: str | None = None,
) -> Exported:
    """Write the tested model of a trial to a folder.

    Args:
        planned: every trial of a study, measured: intervals of one cell depend on all.
        to: a new folder, or an earlier export, which is replaced.
        cell: value by scientific axis, or a text AXIS=VALUE,AXIS=VALUE.
        seed: a number, or `best` by validation images; None for the first seed whose weights were kept.
        onnx: write model.onnx, too.
        register: name of a registered model of MLflow, of which the model becomes a version.

    Raises:
        InputError: no such cell or seed, no model, or the folder cannot be written; the packages of ONNX are missing;
            MLflow does not take the name.
    """
    from study.export.card import Card
    from study.export.choice import choose_trial, keeps_weights, parse_cell, parse_seed, trials_of_cell
    from study.export.folder import CARD_FILE, WRITERS, check_target, write_export
    from study.export.onnx_file import check_onnx, write_onnx_file
    from study.export.registered_model import register_model
    from study.export.timm_model import loads_in_timm
    from study.labels import trial_label
    from study.trained_model import load_trained_model

    folder = expand_path(to).resolve()
    check_target(folder)
    if onnx:
        check_onnx()
    if register is not None:
        ledger.models.check_name(register)
    trials = trials_of_cell(planned, parse_cell(cell) if isinstance(cell, str) else cell)
    chosen = parse_seed(seed) if isinstance(seed, str) else seed
    trial = choose_trial(planned, trials, chosen, keeps_weights(ledger))
    model = load_trained_model(trial, ledger)
    lacking = write_export(Card(model, planned, trials), folder, (*WRITERS, *([write_onnx_file] if onnx else [])))
    registered = "" if register is None else register_model(model, ledger, register)
    name = trial.candidate.config.model.name
    return Exported(folder, trial_label(trial), name, folder / CARD_FILE, loads_in_timm(model), lacking, registered)
