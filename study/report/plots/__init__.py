"""Figures of a study: one function each, from a DataFrame or arrays to a plotly Figure.

No function reads a file or the ledger. Accuracies are 0 to 1 as everywhere, and shown in percent. `layout.meta` holds
a figure's "title" and "caption" as plain text, and how a page lays it out (`style.new_figure`).
"""
