"""The figures of a study: one function each, a DataFrame or arrays in, a plotly Figure out.

No function touches a file or the ledger. Accuracies go in as 0 to 1, as everywhere, and are shown in percent. What a
figure is called, and what belongs below it, is in its `layout.meta`, as plain text: "title" and "caption".
"""

from study.report.plots.answers import confusion, mistakes
from study.report.plots.cells import accuracy_over, cost_accuracy, parallel_coordinates
from study.report.plots.curves import against_authors, learning_curves, schedules
from study.report.plots.effects import interaction, main_effects
from study.report.plots.paper import attention, filters, samples, similarity
from study.report.plots.style import MAX_COLORED

__all__ = [
    "MAX_COLORED",
    "accuracy_over",
    "against_authors",
    "attention",
    "confusion",
    "cost_accuracy",
    "filters",
    "interaction",
    "learning_curves",
    "main_effects",
    "mistakes",
    "parallel_coordinates",
    "samples",
    "schedules",
    "similarity",
]
