"""Answer to a study's question in words, made from its effects."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from revit.training.metrics import Metric, find_metric
from search_spaces.framework.claim_cells import Cell, Value, short_names
from search_spaces.framework.space import SearchSpace
from study.analysis.effects import Effect, StudyEffects, find_strongest
from study.analysis.power import MAX_SEEDS, MIN_PILOT_SEEDS
from study.analysis.results import cell_table
from study.analysis.verdicts import stated_point
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.axis_words import axis_titles, value_title
from study.report.claim_list import format_p
from study.report.plots.style import capitalize
from study.report.setting_words import WORDS
from study.report.table_markup import escape_markdown

MAX_AXES = 2
"""Axes whose effects have a clause of their own in the first sentence."""
MAX_INTERACTIONS = 2
MAX_NAMED_CELLS = 3
"""Cells that a sentence names; of more it gives the number."""
MAX_LISTED = 8
"""Cells or values that a line lists."""


MAX_TITLE_CHARS = 24
"""Characters of the title of an axis that a sentence uses."""


class Answer(NamedTuple):
    """Answer to a study's question.

    Attributes:
        sentences: at most three: effects of axes, interactions, the best cell.
        details: a line each: every axis, every interaction that counts, what was measured, how it was decided.
    """

    sentences: Sequence[str]
    details: Sequence[str]

    @property
    def text(self) -> str:
        """The sentences."""
        return " ".join(self.sentences)


def make_answer(plan: Plan, effects: StudyEffects) -> Answer:
    """Return the answer of a study, as far as its trials have results.

    Args:
        plan: of another metric than accuracy, as `measured.measure` returns it.
    """
    words = _Words(plan.space, effects)
    if effects.best is None:
        return Answer(["No trial has a result yet: there is no answer."], _measured(plan))
    sentences = [_axes_sentence(words), _interactions_sentence(words), _best_sentence(words, _cell_row(plan, effects))]
    details = [
        *(line for axis in effects.axes for line in _axis_lines(words, axis)),
        *_interaction_lines(words),
        *_rival_lines(words),
        *_measured(plan),
        *_decision_lines(words),
        *_caveat_lines(plan),
    ]
    return Answer([each for each in sentences if each], details)


def answer_context(answer: Answer) -> dict[str, Any]:
    """Return what the templates show."""
    return {"answer": answer, "markdown_answer": to_markdown(answer)}


def to_lines(answer: Answer) -> list[str]:
    """Return lines of plain text: one for each sentence, then one for each detail."""
    return [*answer.sentences, *(f"- {line}" for line in answer.details)]


def to_markdown(answer: Answer) -> str:
    """Return a paragraph and a list."""
    return "\n".join([escape_markdown(answer.text), "", *(f"- {escape_markdown(line)}" for line in answer.details)])


def to_records(effects: StudyEffects) -> dict[str, Any]:
    """Return plain values for JSON: every effect, the best cell, and the cells that may be better."""
    return {
        "effects": [_record(each) for each in (*effects.effects, *effects.simple)],
        "best": None if effects.best is None else asdict(effects.best),
    }


def _record(effect: Effect) -> dict[str, Any]:
    kind = "interaction" if effect.moderator else "simple effect" if effect.where else "effect"
    verdict = None if effect.where else "real" if effect.is_real else "inconclusive"
    return {"kind": kind, "verdict": verdict, **vars(effect)}  # without copies of thousands of run ids


class _Words:
    """Words for the axes, values and numbers of a study."""

    def __init__(self, space: SearchSpace, effects: StudyEffects) -> None:
        self.effects = effects
        self.metric: Metric = find_metric(space.metric)
        self.names = _titles(list(space.scientific))

    def axis(self, axis: str) -> str:
        """Return an axis with its article: `the schedule`."""
        return f"the {self.names[axis]}"

    def value(self, axis: str, value: Value) -> str:
        """Return a value, with its axis where the value alone says little: `cosine`, `resolution 384`."""
        if axis in WORDS and (value is None or isinstance(value, bool)):
            return WORDS[axis].text(value)
        text = value_title(value)
        return text if isinstance(value, str) and not text[:1].isdigit() else f"{self.names[axis]} {text}"

    def at(self, axis: str, value: Value) -> str:
        """Return where an effect is: `with sgd`, `on digits`."""
        return f"{'on' if axis == 'dataset' else 'with'} {self.value(axis, value)}"

    def cell(self, cell: Cell) -> str:
        """Return the values of a cell on the axes that vary."""
        return " + ".join(self.value(axis, value) for axis, value in cell.items() if axis in self.effects.axes)

    def size(self, effect: float) -> str:
        """Return the size of a difference in its unit, without its sign."""
        return f"{abs(effect):,.{self.metric.decimals}f} {self.metric.difference_unit}"

    def interval(self, effect: Effect) -> str:
        """Return an interval behind a difference; empty where there is none."""
        if effect.low is None or effect.high is None:
            return ""
        return " [{}, {}]".format(*(f"{limit:,.{self.metric.decimals}f}" for limit in (effect.low, effect.high)))

    def gap(self, effect: Effect) -> str:
        """Return the difference of two values as a clause: `sgd is 3.20 pp better than adam [1.00, 5.40]`."""
        better, worse = (self.value(effect.axis, value) for value in (effect.better, effect.worse))
        return f"{better} is {self.size(effect.effect)} better than {worse}{self.interval(effect)}"

    def gain(self, effect: Effect) -> str:
        """Return an interaction as a clause."""
        better, worse = (self.value(effect.axis, value) for value in (effect.better, effect.worse))
        more = f"{better} gains {self.size(effect.effect)} more over {worse} {self.at(effect.moderator, effect.larger)}"
        return f"{more} than {self.at(effect.moderator, effect.smaller)}{self.interval(effect)}"


def _titles(axes: Sequence[str]) -> dict[str, str]:
    """Return the words for axes in a sentence: those of tables, unless they are long."""
    short = [name.replace("_", " ") for name in short_names(axes)]
    titles = axis_titles(axes)
    return {
        axis: name if titles[axis] == axis or len(titles[axis]) > MAX_TITLE_CHARS else titles[axis]
        for axis, name in zip(axes, short, strict=True)
    }


def _axes_sentence(words: _Words) -> str:
    """Return the sentence on the effects of axes: those that are real, then those that are not decided."""
    shown = {axis: find_strongest(words.effects.of_axis(axis)) for axis in words.effects.axes}
    real = {axis: effect for axis, effect in shown.items() if effect is not None and effect.is_real}
    if len(shown) > MAX_AXES:
        strongest = sorted(real, key=lambda axis: -real[axis].effect)
        first, others = strongest[:MAX_AXES], [axis for axis in real if axis not in strongest[:MAX_AXES]]
    else:
        first, others = [*real], []
    clauses = [f"{words.axis(axis)} matters: {words.gap(real[axis])}{_ratio(real[axis])}" for axis in first]
    if others:
        clauses.append(f"so {'do' if len(others) > 1 else 'does'} {_join([words.axis(axis) for axis in others])}")
    open_axes = {axis: effect for axis, effect in shown.items() if axis not in real}
    if open_axes:
        clauses.append(_not_decided(words, open_axes, is_short=len(shown) > MAX_AXES))
    return _sentence("; ".join(clauses))


def _not_decided(words: _Words, axes: Mapping[str, Effect | None], *, is_short: bool) -> str:
    """Return the clause on axes whose effects are not decided; what was found is of the first, unless it is short."""
    if is_short:
        names = [words.axis(axis) for axis in axes]
        return f"whether {_join(names)} {'matter' if len(names) > 1 else 'matters'} is not decided"
    (first, effect), *others = axes.items()
    clause = f"whether {words.axis(first)} matters is not decided ({_finding(words, first, effect)})"
    return clause + "".join(f", nor whether {words.axis(axis)} does" for axis, _ in others)


def _finding(words: _Words, axis: str, effect: Effect | None) -> str:
    if (axis,) in words.effects.left_out:
        return f"{len(words.effects.axes[axis])} values, too many to compare in pairs"
    return "too few results" if effect is None else f"{words.gap(effect)}{_open(effect)}"


def _shown_pairs(words: _Words) -> list[Effect]:
    """Return the strongest interaction of each two axes that the answer is about.

    Of two axes, theirs. Of more, those that are real, strongest first, at most MAX_INTERACTIONS.
    """
    found = dict.fromkeys((each.axis, each.moderator) for each in words.effects.effects if each.moderator)
    strongest = [find_strongest(words.effects.of_pair(*pair)) for pair in found]
    shown = [each for each in strongest if each is not None]
    if len(words.effects.axes) == 2:
        return shown
    return sorted((each for each in shown if each.is_real), key=lambda each: -each.effect)[:MAX_INTERACTIONS]


def _interactions_sentence(words: _Words) -> str:
    axes = [*words.effects.axes]
    if len(axes) < 2:
        return ""
    clauses = [_interaction_clause(words, each) for each in _shown_pairs(words)]
    if not clauses and len(axes) == 2:
        question = f"the effect of {words.axis(axes[0])} depends on {words.axis(axes[1])}"
        is_large = tuple(axes) in words.effects.left_out
        reason = "too many values to compare in pairs" if is_large else "too few cells have results"
        return _sentence(f"whether {question} is not decided: {reason}")
    return _sentence("; ".join(clauses) or "no effect of one axis is shown to depend on another axis")


def _interaction_clause(words: _Words, pair: Effect) -> str:
    depends = f"the effect of {words.axis(pair.axis)} depends on {words.axis(pair.moderator)}"
    opening = depends if pair.is_real else f"whether {depends} is not decided ({_open(pair).removeprefix(', ')})"
    better, worse = (words.value(pair.axis, value) for value in (pair.better, pair.worse))
    of_pair = [each for each in words.effects.simple if each.axis == pair.axis and pair.moderator in each.where]
    parts = [
        f"{words.size(each.effect)} {'better' if each.effect >= 0 else 'worse'}{'' if index else f' than {worse}'} "
        f"{words.at(pair.moderator, each.where[pair.moderator])}{words.interval(each)}"
        for index, each in enumerate(of_pair)
    ]
    return f"{opening}: {better} is {', '.join(parts)}"


def _cell_row(plan: Plan, effects: StudyEffects) -> Mapping[Any, Any]:
    """Return the row of `cell_table` of the best cell."""
    assert effects.best is not None, "checked before"
    trained, axes = plan.space.trained_values, list(plan.space.scientific)
    best = next(trial for trial in plan.trials if stated_point(trial.candidate, trained) == effects.best.cell)
    rows = cell_table(plan).to_dict("records")
    return next(row for row in rows if [row[axis] for axis in axes] == [*best.candidate.cell.values()])


def _best_sentence(words: _Words, row: Mapping[Any, Any]) -> str:
    best, metric = words.effects.best, words.metric
    assert best is not None, "checked before"
    value = f"{metric.format(row['mean'])} {metric.unit}"
    if not math.isnan(row["low"]):
        scope = " over test images alone" if row["n"] == 1 else ""
        value += f" [{metric.format(row['low'])}, {metric.format(row['high'])}]{scope}"
    if not best.num_others:
        return _sentence(f"one cell has results: {metric.name} {value}; there is no other to compare it with")
    return _sentence(f"the best cell is {words.cell(best.cell)}: {value}; {_rivals_clause(words)}")


def _rivals_clause(words: _Words) -> str:
    best = words.effects.best
    assert best is not None, "checked before"
    if not best.rivals:
        return f"it is better than {'the other one' if best.num_others == 1 else f'all {best.num_others} others'}"
    if len(best.rivals) == best.num_others > 1:
        return f"none of the {best.num_others} others is distinguishable from it"
    if len(best.rivals) > MAX_NAMED_CELLS:
        return f"{len(best.rivals)} of the {best.num_others} others are not distinguishable from it"
    return f"not distinguishable from it: {_join([words.cell(cell) for cell in best.rivals])}"


def _rival_lines(words: _Words) -> list[str]:
    best = words.effects.best
    assert best is not None, "checked before"
    if len(best.rivals) <= MAX_NAMED_CELLS and len(best.rivals) < best.num_others:
        return []
    names = [words.cell(cell) for cell in best.rivals]
    return [f"not distinguishable from the best cell: {_shorten(names)}"] if names else []


def _axis_lines(words: _Words, axis: str) -> list[str]:
    """Return a line on the effect of an axis, and one on its values without results."""
    name, pairs = words.names[axis], words.effects.of_axis(axis)
    strongest, values = find_strongest(pairs), words.effects.axes[axis]
    if (axis,) in words.effects.left_out:
        return [f"{name}: {_finding(words, axis, None)}"]
    compared = {value for each in pairs for value in (each.better, each.worse)}
    absent = [words.value(axis, value) for value in values if value not in compared]
    lines = [f"{name}: too few results to compare: {_shorten(absent)}"] if absent else []
    if strongest is None:
        return lines
    num_real = sum(each.is_real for each in pairs)
    of_pairs = f"; the largest of {len(pairs)} differences, of which {num_real} are real" if len(pairs) > 1 else ""
    return [f"{name}: {words.gap(strongest)}, {_verdict(strongest)}{of_pairs}", *lines]


def _interaction_lines(words: _Words) -> list[str]:
    lines = [
        f"{words.names[pair.axis]} and {words.names[pair.moderator]}: {words.gain(pair)}, {_verdict(pair)}"
        for pair in _shown_pairs(words)
    ]
    pairs = [each for each in words.effects.effects if each.moderator]
    if len(words.effects.axes) > 2 and pairs:
        num_real = sum(each.is_real for each in pairs)
        lines.append(f"interactions: {num_real} of {len(pairs)} differences in differences are real")
    return lines


def _verdict(effect: Effect) -> str:
    """Return whether an effect is real, how large it is against the spread of seeds, and what would decide it."""
    if effect.num_settings < effect.of_settings:
        part = f", over {effect.num_settings} of {effect.of_settings} settings of the other axes, which have results"
    else:
        part = ""
    if effect.p_holm is None:
        return f"not decided: {effect.num_seeds} seed per cell does not show the spread between seeds; run 3{part}"
    if effect.is_real:
        return f"real (p {format_p(effect.p_holm)}){_ratio(effect)}{part}"
    return f"not decided (p {format_p(effect.p_holm)}){_ratio(effect)}; {_what_would_decide(effect)}{part}"


def _open(effect: Effect) -> str:
    """Return the p value of an effect that is not decided, and the seeds that would decide it, where they are known."""
    if effect.p_holm is None:
        return ", 1 seed"
    seeds = "" if effect.required_seeds is None else f"; about {effect.required_seeds} seeds would decide it"
    return f", p {format_p(effect.p_holm)}{seeds}"


def _ratio(effect: Effect) -> str:
    if effect.seed_ratio is None:
        return ""
    return f", {effect.seed_ratio:.1f} times the standard deviation between seeds"


def _what_would_decide(effect: Effect) -> str:
    if effect.required_seeds is not None:
        return f"about {effect.required_seeds} seeds per cell would decide it"
    if effect.num_seeds < MIN_PILOT_SEEDS:
        return f"{MIN_PILOT_SEEDS} seeds per cell are needed to estimate how many would decide it"
    return f"more than {MAX_SEEDS} seeds per cell would be needed to decide it"


def _measured(plan: Plan) -> list[str]:
    """Return what was measured, on what."""
    metric, trials = find_metric(plan.space.metric), plan.trials
    sizes = {trial.candidate.config.dataset: trial.num_test for trial in trials}
    on = _join([f"{value_title(dataset)} ({num_test:,} test images)" for dataset, num_test in sizes.items()])
    seeds = {trial.candidate.config.seed for trial in trials}
    num_cells = len({tuple(trial.candidate.cell.items()) for trial in trials})
    num_done = sum(trial.has_result for trial in trials)
    better = "" if metric.sign == 1 else ", lower is better"
    size = f"{_count(num_cells, 'cell')} of {_count(len(seeds), 'seed')}, {num_done} of {_count(len(trials), 'trial')}"
    return [f"measured: {metric.name}{better}, on {on}: {size} with a result"]


def _decision_lines(words: _Words) -> list[str]:
    num = sum(each.p is not None for each in words.effects.effects)
    if not num:
        return []
    over = "seeds and test images" if words.metric.of_predictions else "seeds"
    corrected = f" after Holm's correction over {num} comparisons" if num > 1 else ""
    return [f"real: p at most 0.05{corrected}; intervals of 95 %, over {over}, are not corrected"]


def _caveat_lines(plan: Plan) -> list[str]:
    """Return lines on cells without results, on tuning, on the scale."""
    lines = []
    states = Counter(trial.state for trial in plan.trials)
    num_diverged = states[TrialState.DIVERGED]
    if num_diverged:
        lines.append(f"diverged, and in no mean: {_count(num_diverged, 'trial')}")
    if plan.space.is_searched:
        names = _join([*_titles([*plan.space.nuisance_axes]).values()])
        lines.append(f"each cell has its own best {names}, tuned on validation images")
    if plan.space.caveat:
        lines.append(f"{plan.space.scale} scale: not evidence for or against published claims")
    return lines


def _sentence(text: str) -> str:
    return f"{capitalize(text)}." if text else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _join(names: Sequence[str]) -> str:
    """Return names as a list in words: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _shorten(names: Sequence[str], separator: str = ", ") -> str:
    more = [f"{len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
    return separator.join([*names[:MAX_LISTED], *more])
