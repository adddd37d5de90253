"""Reproducibility checklist: the questions of NeurIPS's paper checklist in our words, as far as a study answers them.

The checklist of the conference has 16 questions (https://neurips.cc/public/guides/PaperChecklist). A study answers
what it knows. The author answers the others.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from revit.training.metrics import find_metric
from study.analysis.intervals import intervals_note
from study.analysis.verdicts import ClaimVerdict
from study.report.caveats import plan_caveats
from study.report.forecast_tables import format_seconds
from study.report.methods import NOT_RECORDED, Methods
from study.report.settings import join

Answer = Literal["yes", "no", "not applicable", "for the author"]
AUTHOR: Answer = "for the author"


class Item(NamedTuple):
    """A question of the checklist with its answer, and why."""

    topic: str
    question: str
    answer: Answer
    reason: str


def fill_checklist(methods: Methods, verdicts: Sequence[ClaimVerdict]) -> list[Item]:
    """Return the questions with the answers that a study can give."""
    return [
        _claims(verdicts),
        _limitations(methods),
        Item(
            "Theory",
            "Does each theoretical result have its assumptions and a proof?",
            "not applicable",
            "The study is an experiment.",
        ),
        _reproducibility(methods),
        _access(methods),
        _settings(methods),
        _error_bars(methods, verdicts),
        _compute(methods),
        _author("Ethics", "Does the work follow the code of ethics?"),
        _author("Impact", "Are positive and negative effects on society discussed?"),
        _author("Safeguards", "Are models or data with a risk of misuse released with safeguards?"),
        _licenses(methods),
        _author("New assets", "Are new data, code or models documented?"),
        _author("People", "Are instructions and pay of participants or crowd workers stated?"),
        _author("Review board", "Did a review board approve research with people, and are its risks stated?"),
        _author("Language models", "Is the use of language models stated where they are a part of the method?"),
    ]


def _author(topic: str, question: str) -> Item:
    return Item(topic, question, AUTHOR, "The study does not know this.")


def _claims(verdicts: Sequence[ClaimVerdict]) -> Item:
    question = "Do abstract and introduction claim what the results show?"
    if not verdicts:
        return Item("Claims", question, AUTHOR, "The study states no claims of its own.")
    counts = [
        f"{number} {verdict}"
        for verdict in ("supported", "contradicted", "inconclusive")
        if (number := sum(each.ours.verdict == verdict for each in verdicts))
    ]
    reason = f"Claim by claim, the study's verdicts are: {join(counts, 'and')}. Compare the text with them."
    return Item("Claims", question, AUTHOR, reason)


def _limitations(methods: Methods) -> Item:
    question = "Are the limitations stated?"
    found = plan_caveats(methods.plan)
    if not found:
        return Item("Limitations", question, AUTHOR, "The study has no caveats of its own.")
    return Item(
        "Limitations", question, "yes", f"The study's caveats: {'; '.join(found)}. Others are the author's to add."
    )


def _reproducibility(methods: Methods) -> Item:
    question = "Is everything stated that is needed to repeat the main results?"
    changed = [each for each in methods.launches if each.is_changed or not each.commit]
    basis = "Every setting, seed, version, and digest of data, splits and weights is recorded with each trial"
    if not methods.plan.is_complete:
        return Item("Reproducibility", question, "no", f"{basis}, but trials are missing: the study is not complete.")
    if changed or not methods.launches:
        return Item(
            "Reproducibility",
            question,
            "no",
            f"{basis}, but not the code of all of them: it had uncommitted changes, or its commit is not known.",
        )
    return Item("Reproducibility", question, "yes", f"{basis}, with the commit of the code; one command repeats them.")


def _access(methods: Methods) -> Item:
    question = "Can others get the data and the code?"
    own = [each.name for each in methods.datasets if each.license == NOT_RECORDED]
    sources = "; ".join(f"{each.name}: {each.source}" for each in methods.datasets)
    if own:
        return Item("Data and code", question, AUTHOR, f"Say where others get {join(own, 'and')}, and the code.")
    return Item("Data and code", question, AUTHOR, f"Data: {sources}. Say where others get the code.")


def _settings(methods: Methods) -> Item:
    question = "Are splits, hyperparameters, and how they were chosen stated?"
    how = "were tuned on validation images, never on test images" if methods.plan.space.is_searched else "were fixed"
    open_settings = [each.title for each in methods.settings if each.is_open]
    if open_settings:
        return Item("Settings", question, "no", f"Searches are not over: {join(open_settings, 'and')}.")
    return Item("Settings", question, "yes", f"The methods section states all of them. Hyperparameters {how}.")


def _error_bars(methods: Methods, verdicts: Sequence[ClaimVerdict]) -> Item:
    """Return the item on error bars: what they are over, how they are computed."""
    question = "Are there error bars, and is it stated what they are over and how they are computed?"
    metric = find_metric(methods.plan.space.metric)
    if len(methods.seeds) == 1 and not metric.of_predictions:
        return Item("Statistics", question, "no", "There is one seed, and the metric does not depend on test images.")
    computed = "Student's t over seeds" + (
        ""
        if not metric.of_predictions
        else " and Clopper and Pearson's exact limits over test images, added in squares"
        if metric.is_accuracy
        else " and a bootstrap over test images, added in squares"
    )
    tests = " p values of claims have Holm's correction over the claims of the study." if verdicts else ""
    reason = f"{intervals_note(metric)} Computed by {computed}, from {len(methods.seeds)} seeds per cell.{tests}"
    return Item("Statistics", question, "yes", reason)


def _compute(methods: Methods) -> Item:
    """Return the item on compute: devices, time per trial and in all."""
    question = "Are devices, time per trial and time in all stated, also of failed and preliminary trials?"
    timed = [each for each in methods.times if each.num_timed]
    if not timed:
        return Item("Compute", question, "no", "No trial has a recorded time.")
    rows = [
        f"{each.num_trials} trials ({each.purpose}) on {each.device or 'a device that is not recorded'}: "
        f"{format_seconds(each.seconds_per_trial)} each, {format_seconds(each.seconds)} in all"
        for each in timed
    ]
    total = format_seconds(sum(each.seconds for each in timed))
    return Item("Compute", question, "yes", f"{'; '.join(rows)}. All together: {total}, of trials in this store.")


def _licenses(methods: Methods) -> Item:
    question = "Are the makers of data, code and models credited, and their licenses stated and kept?"
    data = [(each.name, each.license) for each in methods.datasets]
    assets = [*data, *((each.name, each.license) for each in methods.models)]
    unclear = [
        name for name, text in assets if text == NOT_RECORDED or text.startswith(("none", "unknown", "left empty"))
    ]
    stated = "; ".join(f"{name}: {text}" for name, text in assets)
    if unclear:
        return Item("Licenses", question, AUTHOR, f"{stated}. Clear up {join(unclear, 'and')}.")
    return Item("Licenses", question, "yes", f"{stated}. The methods section names their sources.")
