"""Conclusions of papers: each is tested, or has a reason."""

import re
from pathlib import Path

import pytest

import search_spaces
from revit.errors import InputError
from search_spaces.framework import read_paper
from search_spaces.framework.sentences import read_sentences

SENTENCES = read_sentences("re_vit")
CLAIMS = [claim for name in search_spaces.names() for claim in search_spaces.load(name).claims]


def quotes_in(sentence: str) -> list[str]:
    """Return the quotes of the claims that test a sentence."""
    return [claim.quote for claim in CLAIMS if claim.quote in sentence]


def test_each_conclusion_is_tested_or_has_a_reason_and_not_both() -> None:
    assert len(SENTENCES) == 32
    assert [each.text for each in SENTENCES if bool(quotes_in(each.text)) == bool(each.reason)] == []


def test_each_claim_quotes_a_conclusion_or_the_numbers_of_a_table() -> None:
    """A table without a sentence is quoted by its numbers, which are those of the paper's file."""
    rest = {claim.quote for claim in CLAIMS if not any(claim.quote in each.text for each in SENTENCES)}
    assert len(rest) == 3
    for quote in rest:
        table, numbers = re.fullmatch(r"Table (\d): (.*)", quote).groups()
        published = {row.value for row in read_paper("re_vit").rows_of(table) if not row.source}
        assert {float(number) for number in re.findall(r"\d+\.\d+", numbers)} <= published


def test_claims_stand_in_the_study_of_their_table() -> None:
    tables = {each.text: each.table for each in SENTENCES}
    for name in search_spaces.names():
        space = search_spaces.load(name)
        for claim in space.claims if space.table else ():
            found = {table for text, table in tables.items() if claim.quote in text}
            assert found <= {space.table}, f"{name}: {claim.quote}"


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
