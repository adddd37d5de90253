from tests.study.live.example_state import EXAMPLE


def test_json_has_every_attribute() -> None:
    found = EXAMPLE.to_json()
    assert found["schema"] == 1
    assert found["phase"] == "running"
    assert found["running"][0]["steps_per_s"] == 12.34
    assert found["cells"][2]["mean"] is None
    assert found["failures"] == {"lost worker": 1, "diverged": 1}
