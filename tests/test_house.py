"""The rules of the tree: where modules lie, how long they are, how their docstrings begin, which words they use."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 400
PRODUCT = ("benchmarks", "revit", "search_spaces", "study")
MODULES = [path.relative_to(ROOT) for folder in (*PRODUCT, "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
NAMED = [path for path in MODULES if path.parts[0] in PRODUCT and not path.stem.startswith("__")]

PRIVATE_WORDS = re.compile(
    r"\b(patiently|patience\.py|hurry|claimants|unclaim|surroundings|leftovers?|sweeps?|sweeping|twins?|leases?|un?told"
    r"|told|tells|telling|looked at|strangers|without a word|for ever|stand-ins?|stands (in )?for"
    r"|counting_trials|settled|undecided)\b"
    r"|\b(?<![Tt]here )is no (?!longer|more|\w+ing)"
)
"""Words for which the field has one of its own (docs/glossary.md)."""

BAD_OPENING = re.compile(r"(Of|What|How|Whether|Where|Which|That|When|Why|Who|By|If|All that)\b")


def test_every_module_with_a_function_has_a_test_of_its_name() -> None:
    studies = {path for path in NAMED if path.parts[0] == "search_spaces" and "framework" not in path.parts}
    tested = [path for path in NAMED if path not in studies and _has_function(path)]
    assert [path for path in tested if not (ROOT / _test_of(path)).exists()] == []


def _has_function(module: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse((ROOT / module).read_text())))


def _test_of(module: Path) -> Path:
    return Path("tests") / module.parent / f"test_{module.stem}.py"


def test_every_test_module_is_where_its_module_is() -> None:
    modules = {_test_of(path) for path in NAMED}
    folders = {path.parent for path in modules}
    lost = [path for path in MODULES if path.name.startswith("test_") and path.parent not in {*folders, Path("tests")}]
    assert lost == []


def test_no_two_modules_have_one_name() -> None:
    counts = Counter(path.stem for path in NAMED if path.parts[0] != "benchmarks")
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_file_is_longer_than_the_limit() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_a_module_has_one_idea() -> None:
    first_lines = {str(path): _docstring(path).partition("\n")[0] for path in NAMED}
    assert {path: line for path, line in first_lines.items() if re.search(r"\band\b", line)} == {}


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert [f"{path}:{line}: {text}" for path in NAMED for line, text in _openings(path)] == []


def _openings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = node.value.value.strip()
            if BAD_OPENING.match(text):
                yield node.lineno, text.partition("\n")[0]


@pytest.mark.parametrize("folder", [*PRODUCT, "docs", "tests", "."])
def test_the_words_are_the_fields(folder: str) -> None:
    depth = "*" if folder == "." else "**/*"
    texts = [path for path in (ROOT / folder).glob(depth) if path.suffix in (".py", ".md", ".j2")]
    texts = [path for path in texts if path != Path(__file__) and path.name != "results.md"]  # a record of measurements
    found = {str(path.relative_to(ROOT)): PRIVATE_WORDS.findall(path.read_text()) for path in texts}
    assert {path: words for path, words in found.items() if words} == {}


def test_the_folders_that_answer_questions_exist() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## Where to look")[2]
    answers = re.findall(r"\| `([\w/]+)` \|", table)
    assert len(answers) >= 10
    assert all((ROOT / folder / "__init__.py").is_file() for folder in answers)


def test_the_files_that_the_pages_name_exist() -> None:
    for page in ("CONTRIBUTING.md", "docs/architecture.md"):
        named = re.findall(r"`((?:study|revit|search_spaces)/[\w/]+(?:\.py|/))`", (ROOT / page).read_text())
        assert len(named) > 5
        assert [name for name in named if not (ROOT / name).exists() and "NAME" not in name] == []
