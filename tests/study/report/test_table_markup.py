"""Tables in HTML, Markdown or LaTeX: special characters are escaped."""

import re

import pandas as pd

from study.report.table_markup import to_html, to_latex, to_markdown

NASTY = r"<b>a_b</b> & 50% | $x^2$ \ {~} #1"


def test_no_line_of_a_latex_table_begins_with_an_argument_of_the_line_break() -> None:
    table = pd.DataFrame({"a": [("1", "[2, 3]", "*")]}, index=pd.Index(["[b]"], name=""))
    assert not re.search(r"\\\\\s*[\[*]", to_latex(table, "", [], "").replace(r"\\[3pt]", ""))


def test_special_characters_are_escaped_in_every_format() -> None:
    table = pd.DataFrame({NASTY: [(NASTY, "second line")]}, index=pd.Index([NASTY], name="axis_1"))
    html = to_html(table, "results")
    assert "<b>" not in html
    assert html.count("&lt;b&gt;a_b&lt;/b&gt; &amp; 50%") == 3
    latex = to_latex(table, NASTY, [NASTY], NASTY)
    assert r"axis\_1" in latex
    assert latex.count(r"\textless{}b\textgreater{}a\_b\textless{}/b\textgreater{} \& 50\%") == 5
    assert r"\texttt{\textless{}b\textgreater{}a\_b\textless{}/\allowbreak{}b\textgreater{} \& 50\%" in latex
    assert latex.count(r"\textbar{} \$x\textasciicircum{}2\$ \textbackslash{}") == 6
    assert not re.search(r"(?<!\\)[&%#~^|<>$]", latex.replace(" & ", ""))
    assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert latex.index(r"\end{tabular}") < latex.rindex(r"\_b") < latex.index(r"\end{table}")
    assert "<b>" not in to_markdown(table)
    [heading, _, row] = to_markdown(table).splitlines()
    assert len(re.findall(r"(?<!\\)\|", heading)) == len(re.findall(r"(?<!\\)\|", row)) == 3
    assert "<br>second line" in row
