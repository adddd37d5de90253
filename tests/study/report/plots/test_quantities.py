"""Names of quantities with their units."""

from study.report.plots.quantities import QUANTITIES, quantity_of


def test_an_axis_without_a_unit_has_the_words_of_the_tables() -> None:
    assert quantity_of("optimizer.lr") == ("learning rate", "learning rate", 1)


def test_what_is_in_percent_is_multiplied_by_100() -> None:
    assert {quantity.factor for quantity in QUANTITIES.values() if quantity.label.endswith("%")} == {100}
    assert quantity_of("data_fraction").factor == 100
