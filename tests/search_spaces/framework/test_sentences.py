"""Conclusions of papers: each is tested, or has a reason."""

import re
from pathlib import Path

import pytest

import search_spaces
from revit.errors import InputError
from search_spaces.framework import read_paper
from search_spaces.framework.published import known_papers
from search_spaces.framework.sentences import read_sentences
from search_spaces.framework.space import SearchSpace

PAPERS = {"re_vit": (32, 3), "three_things": (11, 0)}
"""Conclusions of each paper, and claims on the numbers of a table without a sentence."""


def studies_of(paper: str) -> list[SearchSpace]:
    """Return the studies of a paper, and those without one, which quote the studies beside them."""
    folder = paper if paper in search_spaces.folders() else ""
    return [search_spaces.load(name) for name in search_spaces.names_in(folder)]


def quotes_of(paper: str) -> list[str]:
    return [claim.quote for space in studies_of(paper) for claim in space.claims]


def test_the_conclusions_of_every_paper_that_has_some_are_tested_here() -> None:
    assert PAPERS.keys() == {name for name in known_papers() if read_sentences(name)}


@pytest.mark.parametrize("paper", PAPERS)
def test_each_conclusion_is_tested_or_has_a_reason_and_not_both(paper: str) -> None:
    sentences, quotes = read_sentences(paper), quotes_of(paper)
    assert len(sentences) == PAPERS[paper][0]
    tested = {each.text: any(quote in each.text for quote in quotes) for each in sentences}
    assert [each.text for each in sentences if tested[each.text] == bool(each.reason)] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_each_claim_quotes_a_conclusion_or_the_numbers_of_a_table(paper: str) -> None:
    """A table without a sentence is quoted by its numbers, which are those of the paper's file."""
    texts = [each.text for each in read_sentences(paper)]
    rest = {quote for quote in quotes_of(paper) if not any(quote in text for text in texts)}
    assert len(rest) == PAPERS[paper][1]
    for quote in rest:
        table, numbers = re.fullmatch(r"Table (\d): (.*)", quote).groups()
        published = {row.value for row in read_paper(paper).rows_of(table) if not row.source}
        assert {float(number) for number in re.findall(r"\d+\.\d+", numbers)} <= published


@pytest.mark.parametrize("paper", PAPERS)
def test_claims_stand_in_the_study_of_their_table(paper: str) -> None:
    tables = {each.text: each.table for each in read_sentences(paper)}
    for space in studies_of(paper):
        for claim in space.claims if space.table else ():
            found = {table for text, table in tables.items() if claim.quote in text}
            assert found <= {space.table}, f"{space.name}: {claim.quote}"


def test_a_paper_of_ones_own_has_sentences_beside_it(tmp_path: Path) -> None:
    paper = tmp_path / "mine.csv"
    assert read_sentences(paper) == ()
    (tmp_path / "sentences").mkdir()
    file = tmp_path / "sentences" / "mine.csv"
    file.write_text('table,sentence,reason\n2,"A, and B.",A cause.\n')
    read_sentences.cache_clear()
    assert [(each.table, each.text, each.reason) for each in read_sentences(paper)] == [("2", "A, and B.", "A cause.")]


@pytest.mark.parametrize(
    "text", ["", "table,text\n1,A.\n", "table,sentence,reason\n1,A.\n", 'table,sentence,reason\n1,"A']
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "sentences").mkdir()
    (tmp_path / "sentences" / "mine.csv").write_text(text)
    with pytest.raises(InputError, match="must be a csv file with columns table, sentence, reason") as error:
        read_sentences(tmp_path / "mine.csv")
    assert str(error.value).isprintable()
