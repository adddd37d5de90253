"""The authors' curves are complete, with epochs counted alike."""

from study.report.authors_curves import load_authors_curves


def test_the_authors_curves_are_complete() -> None:
    authors = load_authors_curves()
    assert len(authors) == 1119
    cosine = authors[authors["arm"].str.startswith("sgd_cosine")]
    assert cosine["epoch"].tolist() == list(range(1, 11))
    assert cosine["val_acc"].max() == 98.72
    from_zero = authors[authors["study"] == "ablation_224_p16_unreported"]
    assert set(from_zero["epoch"]) == set(range(1, 21)), "the first pass is 1 in every study"
    assert authors[authors["study"] == "ablation_32_p4_test"]["epoch"].isna().all()
