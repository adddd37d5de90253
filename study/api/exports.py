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
    """

    folder: Path
    trial: str
    model: str
    card: Path
    is_for_timm: bool


def export_model(
    planned: "Plan",
    ledger: "Ledger",
    to: Path,
    *,
    cell: Mapping[str, object] | str = "",
    seed: int | str | None = None,
) -> Exported:
    """Write the tested model of a trial to a folder.

    Args:
        planned: every trial of a study, measured: intervals of one cell depend on all.
        to: a new folder, or an earlier export, which is replaced.
        cell: value by scientific axis, or a text AXIS=VALUE,AXIS=VALUE.
        seed: a number, or `best` by validation images; None for the first seed whose weights were kept.

    Raises:
        InputError: no such cell or seed, no model, or the folder cannot be written.
    """
    from study.export.card import Card
    from study.export.choice import choose_trial, keeps_weights, parse_cell, parse_seed, trials_of_cell
    from study.export.folder import CARD_FILE, check_target, write_export
    from study.export.timm_model import loads_in_timm
    from study.labels import trial_label
    from study.trained_model import load_trained_model

    folder = expand_path(to).resolve()
    check_target(folder)
    trials = trials_of_cell(planned, parse_cell(cell) if isinstance(cell, str) else cell)
    chosen = parse_seed(seed) if isinstance(seed, str) else seed
    trial = choose_trial(planned, trials, chosen, keeps_weights(ledger))
    model = load_trained_model(trial, ledger)
    write_export(Card(model, planned, trials), folder)
    name = trial.candidate.config.model.name
    return Exported(folder, trial_label(trial), name, folder / CARD_FILE, loads_in_timm(model))
