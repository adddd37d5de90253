"""study.registration.prml, by the reference implementation of PRML."""

from dataclasses import replace
from pathlib import Path

import falsify_prml
import pytest

import search_spaces
from search_spaces.framework.space import SearchSpace
from study.registration.claim_record import claim_records
from study.registration.prml import manifest_files
from study.registration.record import Registration
from tests.study.registration.made_study import FASTER, LARGE, WIDE, with_claims


def record_of(space: SearchSpace, seeds: tuple[int, ...] = (0, 1, 2)) -> Registration:
    return Registration(
        study=space.tags, question=space.question, claims=claim_records(space), seeds=seeds, rule={"level": "5 %"},
        design={}, setup={}, data={"digits": {"data": "1"}}, code={}, user="me",
        created_ms=1_700_000_000_123, previous="",
    )  # fmt: skip


def written(record: Registration, folder: Path) -> list[Path]:
    for name, text in manifest_files(record).items():
        (folder / name).write_bytes(text.encode())
    return sorted(folder.glob("*.prml.yaml"))


@pytest.mark.parametrize("name", [each for each in search_spaces.names() if search_spaces.load(each).claims])
def test_the_reference_accepts_each_manifest(name: str, tmp_path: Path) -> None:
    space = search_spaces.load(name)
    paths = written(record_of(space), tmp_path)
    assert len(paths) == len(space.claims)
    for path in paths:
        manifest = falsify_prml.load_manifest(str(path))
        assert falsify_prml.validate_manifest(manifest) == []
        assert falsify_prml.canonicalize(manifest) == path.read_text()
        assert falsify_prml.main(["verify", str(path)]) == 0
        path.write_text(path.read_text().replace("comparator: ", "comparator:  ").replace("seed: null", "seed: 7"))
        assert falsify_prml.main(["verify", str(path)]) == 3, "TAMPERED"


@pytest.mark.parametrize(
    ("claim", "passes", "fails"),
    [(FASTER, "0.1", "-0.1"), (LARGE, "2.5", "1.5"), (replace(WIDE, margin=3.0), "2.9", "3.1")],
)
def test_the_threshold_is_the_margin(claim: object, passes: str, fails: str, tmp_path: Path) -> None:
    [path] = written(record_of(with_claims(claim)), tmp_path)
    assert falsify_prml.main(["verify", str(path), "--observed", passes]) == 0
    assert falsify_prml.main(["verify", str(path), "--observed", fails]) == 10


def test_texts_that_the_format_refuses_are_made_fit(tmp_path: Path) -> None:
    decomposed = "A\u0308 quote: 'with' \"marks\" # and - signs " + 500 * "word "
    [path] = written(record_of(with_claims(replace(FASTER, quote=10 * decomposed)), seeds=(3,)), tmp_path)
    manifest = falsify_prml.load_manifest(str(path))
    errors = falsify_prml.validate_manifest(manifest)
    assert errors == []
    assert manifest["seed"] == 3


def test_an_identifier_names_time_and_record(tmp_path: Path) -> None:
    record = record_of(with_claims(FASTER, WIDE))
    ids = {falsify_prml.load_manifest(str(path))["claim_id"] for path in written(record, tmp_path)}
    assert {each[:13] for each in ids} == {f"{record.created_ms:012x}"[:8] + "-" + f"{record.created_ms:012x}"[8:]}
    assert len(ids) == 2
    assert manifest_files(record) == manifest_files(record) != manifest_files(replace(record, question="Why?"))
