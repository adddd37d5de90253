import pickle

import pytest

from revit.errors import DivergedError, InputError, MissingInputError, first_line


def test_a_message_is_one_printable_line() -> None:
    assert str(InputError("a\nb\x1b[31m\udcff é")) == r"a\nb\x1b[31m\udcff é"


def test_a_missing_input_says_what_was_searched_for_where() -> None:
    error = MissingInputError("weights", "vit", ["/a", "/b"], expected="vit.npz", source="x.org", is_fetchable=False)
    assert str(error) == "weights of vit not found: searched /a and /b for vit.npz; available from x.org"


@pytest.mark.parametrize(
    "error", [InputError("a"), MissingInputError("dataset", "a", ["/b"], is_fetchable=True), DivergedError(3, 1e9)]
)
def test_an_error_keeps_its_message_in_another_process(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert isinstance(copy, InputError | DivergedError)


def test_the_first_line_of_an_error_without_a_message_is_its_type() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(TimeoutError()) == "TimeoutError"
