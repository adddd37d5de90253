"""Published numbers: facts of the papers, and faults of their files."""

from collections.abc import Callable
from pathlib import Path

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.claims import Matches
from search_spaces.framework.published import Published, known_papers, read_paper
from search_spaces.framework.ranges import Range
from search_spaces.framework.space import SearchSpace

HEAD = "# title: On Nothing\n# authors: A and B\n# url: https://example.org\n"
COLUMNS = "table,dataset,resolution,value"


@pytest.fixture
def paper_of(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a paper's file from its lines."""

    def write(*lines: str, head: str = HEAD) -> Path:
        path = tmp_path / str(len([*tmp_path.iterdir()])) / "nothing.csv"
        path.parent.mkdir()
        path.write_text(head + "\n".join(lines))
        return path

    return write


def test_published_values_are_facts_of_the_tables() -> None:
    rows = read_paper("re_vit").rows
    assert len([row for row in rows if row.epoch is None]) == 58
    paper = {
        (row.table, *(row.point.get(axis) for axis in ("dataset", "model.name", "resolution", "data_fraction"))): row
        for row in rows
        if not row.source
    }
    flowers = paper["2", "flowers", "vit_b16_in21k", 384, 1.0]
    assert (flowers.value, flowers.num_test, flowers.n, flowers.metric) == (98.53, 1020, 1, "accuracy")
    assert paper["4", "brain_tumor_mri", "vit_b16_in21k", 384, 1.0].num_test is None
    assert paper["3", "cifar100", "bit_r50x1_in21k", 384, 0.1].value == 69.04


def test_published_curves_are_complete() -> None:
    curves: dict[tuple[object, ...], list[Published]] = {}
    for row in read_paper("re_vit").rows:
        if row.epoch is not None:
            curves.setdefault((row.point["optimizer.name"], row.point["schedule.name"]), []).append(row)
    assert [[row.epoch for row in curve] for curve in curves.values()] == [[*range(1, 11)]] * 5
    assert max(row.value for row in curves["sgd", "cosine"]) == 98.72


def test_what_a_replication_is_to_match_is_what_table_1_quotes() -> None:
    (claim,) = search_spaces.load("replication").claims
    assert isinstance(claim, Matches)
    assert claim.published == {"cifar10": 98.95, "cifar100": 91.67, "flowers": 99.38}


@pytest.mark.parametrize("name", known_papers())
def test_every_paper_is_read(name: str) -> None:
    assert read_paper(name).rows


def test_the_values_of_an_axis_are_of_one_source_and_one_experiment(paper_of: Callable[..., Path]) -> None:
    paper = read_paper(
        paper_of(
            "table,dataset,resolution,metric,value,epoch,source",
            "6a,digits,8,,50,,", "6a,photos,8,,60,,", "6a,digits,28,,70,,", "6a,digits,8,,55,,elsewhere",
            "6a,digits,8,,45,1,", "6a,digits,8,macro_f1,40,,", "6b,digits,8,,51,,",
        )
    )  # fmt: skip
    assert paper.values("dataset", table="6a", where={"resolution": 8}) == {"digits": 50, "photos": 60}
    assert paper.values("dataset", table="6a", source="elsewhere") == {"digits": 55}
    with pytest.raises(InputError, match=r"nothing\.csv has more than one number for a value of dataset in table 6a"):
        paper.values("dataset", table="6a")
    with pytest.raises(InputError, match=r"nothing\.csv has no number of dataset in table 7, source the paper"):
        paper.values("dataset", table="7")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([COLUMNS, "1,digits,8,50", "1,digits,big,50"], "line 6, column resolution = 'big': must be a whole number"),
        ([COLUMNS, "1,digits,8,"], "line 5, column value = '': must be filled"),
        ([COLUMNS, ",digits,8,50"], "line 5, column table = '': must be filled"),
        ([COLUMNS, "1,digits,8,0.98"], "line 5, column value = '0.98': must be accuracy in percent"),
        ([COLUMNS, "1,digits,8,1e2 %"], "line 5, column value = '1e2 %': must be a number"),
        ([COLUMNS, "1,digits,8"], "line 5, values = ['1', 'digits', '8', None]: must be one for each column"),
        ([COLUMNS, "1,digits,8,50,60"], "line 5, values = ['1', 'digits', '8', '50', ['60']]: must be one for each"),
        (["table,dataset"], "line 4, columns = 'table, dataset': must be value and others"),
        (["table,optimizer.nme,value"], "line 4, column optimizer.nme: not a field of a trial's config"),
        (["table,model.trained,value", "1,heads,50"], "line 5, column model.trained = 'heads': must be one of all,"),
        (["table,n,value", "1,0,50"], "line 5, column n = '0': must be a whole number, 1 or larger"),
        (["table,num_test,value", "1,-1,50"], "line 5, column num_test = '-1': must be a whole number"),
        (["table,metric,value", "1,acc,50"], "line 5, column metric = 'acc': must be one of accuracy, "),
        (["table,note,value", '1,"open,50'], "line 5, unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named_with_its_column(paper_of: Callable[..., Path], lines: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_paper(paper_of(*lines))
    assert f"nothing.csv, {message}" in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_file_without_a_title_or_that_is_not_there_is_refused(paper_of: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv must begin with a line `# authors: "):
        read_paper(paper_of(COLUMNS, head="# title: On Nothing\n"))
    for name in ("re_vat", "nowhere.csv", "\0", 999 * "x"):
        with pytest.raises(InputError, match=r"must be one of .*re_vit.*, or the path of a csv file"):
            read_paper(name)


def study(paper: Path, **parts: object) -> SearchSpace:
    given = {"scientific": {"resolution": (8, 28)}, "table": "1", "base": FineTuneConfig(dataset="digits", steps=1)}
    return SearchSpace(name="asks", question="?", paper=paper, **given | parts)


def test_a_study_names_a_table_of_its_paper(paper_of: Callable[..., Path]) -> None:
    paper = paper_of("table,dataset,size,value", "1,digits,small,50")
    for parts, message in (
        ({"table": "7"}, r"table = '7': must be one of 1 in nothing\.csv"),
        ({"table": None}, "table = None: must be given where `paper` is"),
        ({"table": 1}, "table = 1: must be text or None"),
        ({}, r"nothing\.csv, column size: neither a config field nor one of its axes"),
    ):
        with pytest.raises(InputError, match=message):
            study(paper, **parts)
    sizes = {"size": {"small": {"resolution": 8}, "large": {"resolution": 28}}}
    space = study(paper, scientific=sizes)
    assert [[row.value for row in space.published(each)] for each in space.candidates((0,))] == [[50], []]


def test_own_numbers_are_shown_whatever_the_recipe_and_others_beside_the_same_experiment(
    paper_of: Callable[..., Path],
) -> None:
    """Its own numbers must agree on what differs within the table, and on what the study sets."""
    paper = paper_of(
        "table,dataset,resolution,batch_size,model.dropout,value,source",
        "1,digits,8,64,,50,", "1,digits,28,64,,60,", "1,digits,28,64,,61,elsewhere", "1,digits,28,32,,62,elsewhere",
    )  # fmt: skip

    def shown(**parts: object) -> list[list[float]]:
        space = study(paper, **parts)
        return [[row.value for row in space.published(each)] for each in space.candidates((0,))]

    base = FineTuneConfig(dataset="digits", resolution=28, steps=1, batch_size=32)
    assert shown(base=base) == [[50], [60, 62]]
    assert shown(base=base, scientific={"mixup": (0.0, 0.1)}) == [[60, 62], [60, 62]]
    assert shown(base=base, fixed={"batch_size": 32}) == [[], [62]]
    assert shown(base=base, fixed={"batch_size": 64}) == [[50], [60, 61]]
    assert shown(base=base, settings={"batch_size": 64}) == [[50], [60, 61]]
    assert shown(base=base, nuisance={"batch_size": (16, 32)}, fixed={"val_fraction": 0.1}) == [[50], [60]]


def test_flowers_is_any_split_of_it_and_the_name_of_a_split_is_that_split(paper_of: Callable[..., Path]) -> None:
    paper = paper_of("table,dataset,value", "1,flowers,50", "1,flowers102,60")
    for dataset, values in (("flowers", [50]), ("flowers102", [50, 60]), ("flowers102_nelorth", [50])):
        space = study(paper, base=None, scientific={"dataset": (dataset,)}, fixed={"model.name": "vit_b16_in21k"})
        [each] = space.candidates((0,))
        assert [row.value for row in space.published(each)] == values


def test_a_cell_in_which_a_field_is_tuned_has_no_number_at_a_value_of_it(paper_of: Callable[..., Path]) -> None:
    """Also where the tuned range begins at that value."""
    paper = paper_of("table,dataset,optimizer.lr,value", "1,digits,0.001,50")
    levels = {"fixed": {"optimizer.lr": 0.001}, "tuned": {}}
    tuned = {"optimizer.lr": Range(0.001, 0.1, when={"learning_rate": "tuned"})}
    space = study(paper, scientific={"learning_rate": levels}, nuisance=tuned)
    assert [[row.value for row in space.published(each)] for each in space.candidates((0,))] == [[50], []]
