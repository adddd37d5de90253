"""Mixup with CutMix, against timm's `Mixup` given the same random numbers."""

from itertools import chain, count
from types import SimpleNamespace

import numpy as np
import pytest
import timm.data.mixup
import torch
from scipy import stats

from revit.config import FineTuneConfig
from revit.datasets.mixing import Mix, draw_mix, mix_images
from revit.random_streams import Stream, make_rng

NUM_CLASSES = 5
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def config_of(**values: object) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", resolution=12, steps=1).with_values(values)


def timms(config: FineTuneConfig, step: int, monkeypatch: pytest.MonkeyPatch) -> timm.data.mixup.Mixup:
    """Return timm's Mixup, which draws the numbers that we draw at a step, after one that decides to mix at all."""
    rng = make_rng(config.seed, Stream.MIXING, step)
    decisions = chain([0.0], (rng.random() for _ in count()))
    random = SimpleNamespace(
        rand=lambda: next(decisions),
        beta=rng.beta,
        randint=lambda low, high, size: rng.integers(low, high, size),
    )
    names = {name: getattr(np, name) for name in ("sqrt", "clip")}
    monkeypatch.setattr(timm.data.mixup, "np", SimpleNamespace(random=random, **names))
    return timm.data.mixup.Mixup(
        config.mixup, config.cutmix, label_smoothing=config.label_smoothing, num_classes=NUM_CLASSES
    )


@pytest.mark.parametrize(
    "values", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 0.7}, {"cutmix": 0.3, "seed": 2}], ids=str
)
def test_images_and_shares_are_timms_given_the_same_numbers_and_partners(
    values: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(**values)
    kinds = set()
    for step in range(60):
        ours = draw_mix(config, step, len(LABELS))
        assert ours is not None
        assert sorted(ours.partner.tolist()) == list(range(len(LABELS)))
        images = torch.rand(len(LABELS), 3, 12, 12, generator=torch.Generator().manual_seed(step))
        mixed = mix_images(images.clone(), images.flip(0), ours)
        theirs, targets = timms(config, step, monkeypatch)(images.clone(), LABELS)
        if ours.box is None:
            torch.testing.assert_close(mixed, theirs)
        else:
            assert torch.equal(mixed, theirs)
        one_hot = torch.eye(NUM_CLASSES)[LABELS]
        torch.testing.assert_close(ours.lam * one_hot + (1 - ours.lam) * one_hot.flip(0), targets)
        kinds.add("mixup" if ours.box is None else "cutmix")
    assert kinds == {name for name in ("mixup", "cutmix") if values.get(name)}


def test_the_share_is_corrected_where_the_border_clips_the_box() -> None:
    config = config_of(cutmix=1.0)
    for step in range(200):
        mix = draw_mix(config, step, 4)
        assert mix is not None and mix.box is not None
        top, left, height, width = mix.box
        assert 0 <= top <= top + height <= 12 and 0 <= left <= left + width <= 12
        taken = mix_images(torch.zeros(1, 1, 12, 12), torch.ones(1, 1, 12, 12), mix).mean().item()
        assert taken == pytest.approx(1 - mix.lam)


def test_mixup_draws_one_share_per_batch_from_its_beta_distribution() -> None:
    shares = []
    for step in range(2000):
        mix = draw_mix(config_of(mixup=0.4), step, 5)
        assert mix is not None and mix.box is None
        shares.append(mix.lam)
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_with_both_each_has_half_of_the_batches() -> None:
    mixes = [draw_mix(config_of(mixup=0.4, cutmix=1.0), step, 5) for step in range(2000)]
    assert sum(mix is not None and mix.box is not None for mix in mixes) / 2000 == pytest.approx(0.5, abs=0.03)


def test_without_either_nothing_is_mixed() -> None:
    assert draw_mix(config_of(), 0, 5) is None


def test_golden_draws() -> None:
    """As before CutMix was there."""
    mix = draw_mix(config_of(mixup=0.4), 3, 5)
    assert mix is not None
    rng = np.random.default_rng([0, 3, 3])
    assert mix == Mix(mix.partner, float(rng.beta(0.4, 0.4)))
    assert mix.partner.tolist() == rng.permutation(5).tolist()
