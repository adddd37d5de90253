"""Any values make a config that survives JSON, or are refused in one line."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hypothesis import strategies as st

from revit.config import FineTuneConfig, from_dict
from revit.errors import InputError
from revit.models.weights import find_weights
from tests.identities import identity_of

BASE = FineTuneConfig(dataset="digits", steps=10)
PATHS = list(BASE.flat())
SCRATCH = {"model.pretrained": False, "model.weights": None}

ODD_NUMBERS = [0, -1, 2**31, 2**63, 2**64, 10**400, 0.0, -0.0, 5e-324, 1e308]
ODD_TEXTS = ["", "\0", "a\nb", "\r\x1b[31m", "../x", "/", "~", "~nobody/x", "\ud800", "\udcff", "x" * 5000]
ODD_TEXTS += ["folder:", "folder:\0", "folder:~nobody", "folder:a\nb", "vit_patch0_7", "vit_patch" + "9" * 5000]
ODD_TEXTS += ["hf-hub:x", "patch٣", "muonn"]
REAL_TEXTS = ["digits", "cifar10", "vit_nano", "bit_nano", "vit_b16_in21k", "adam", "cosine", "plateau", "none", "jax"]

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.floats(0, 1)
    | st.integers(0, 64)
    | st.text(max_size=8)
    | st.integers(4300, 5000).map(lambda digits: 10**digits)
    | st.sampled_from([*ODD_NUMBERS, *ODD_TEXTS, *REAL_TEXTS])
)
values = st.recursive(
    plain,
    lambda each: (
        st.lists(each, max_size=3)
        | st.lists(each, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), each, max_size=3)
    ),
    max_leaves=6,
)
names = st.sampled_from(PATHS) | st.sampled_from([path[:-1] for path in PATHS]) | st.text(max_size=8)


def check_config(make: Callable[[], FineTuneConfig]) -> None:
    """Make a config: it is refused in one line, or its identity survives JSON.

    That there is no such optimizer is known when the identity is asked for.
    """
    try:
        config = make()
        identity = identity_of(config)
    except InputError as error:
        assert str(error).isprintable()
        return
    again = from_dict(json.loads(json.dumps(asdict(config))))
    assert again == config
    assert identity_of(again) == identity
    assert config.num_steps(50_000, 60_000) > 0


def test_any_value_of_a_field_is_accepted_or_refused(fuzz: Callable[..., None]) -> None:
    def check(path: str, value: Any, scratch: bool) -> None:
        budget = {"steps": None} if path == "epochs" else {}
        check_config(lambda: BASE.with_values({**(SCRATCH if scratch else {}), **budget, path: value}))

    fuzz(300, check, st.sampled_from(PATHS), values, st.booleans())


def test_any_values_together_are_accepted_or_refused(fuzz: Callable[..., None]) -> None:
    fuzz(150, lambda given: check_config(lambda: BASE.with_values(given)), st.dictionaries(names, values, max_size=4))


def test_any_json_is_accepted_or_refused(fuzz: Callable[..., None]) -> None:
    whole = asdict(BASE)
    parts = ("model", "optimizer", "schedule")
    fields = st.sampled_from([*whole, *(name for part in parts for name in whole[part]), "optimizzer"])
    flat = st.dictionaries(fields, values, max_size=4)
    nested = st.fixed_dictionaries({}, optional=dict.fromkeys(parts, flat | values))
    base = st.sampled_from([{}, {"dataset": "digits"}, {"dataset": "digits", "steps": 10}])
    records = st.builds(lambda *some: {key: value for each in some for key, value in each.items()}, base, flat, nested)
    fuzz(150, lambda record: check_config(lambda: from_dict(record)), records | values)


def test_any_name_of_a_model_or_its_weights_is_accepted_or_refused(fuzz: Callable[..., None]) -> None:
    def check(name: str, weights: str | None) -> None:
        try:
            find_weights(BASE.with_values({"model.name": name, "model.weights": weights, "resolution": 28}).model)
        except InputError as error:
            assert str(error).isprintable()

    texts = st.text(max_size=8) | st.sampled_from([*ODD_TEXTS, *REAL_TEXTS])
    fuzz(200, check, texts, st.none() | texts)
