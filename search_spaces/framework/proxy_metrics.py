"""Metrics of further test sets at a scale: they are about the proxies that are tested there."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from search_spaces.framework.scales import SCALES, Proxies

if TYPE_CHECKING:
    from search_spaces.framework.space import SearchSpace


def metrics_at(scale: str, space: "SearchSpace") -> dict[str, Any]:
    """Return metric, metrics and claims of a study at a scale, as arguments of a SearchSpace.

    `accuracy@stl10` becomes `accuracy@digits` where digits are the proxy of STL-10. Metrics of test sets with one proxy
    become one.
    """

    def rename(metric: str) -> str:
        return _metric_at(scale, metric, space.proxies)

    metric = rename(space.metric)
    claims = tuple(each if each.metric is None else replace(each, metric=rename(each.metric)) for each in space.claims)
    further = dict.fromkeys(map(rename, space.metrics))
    return {"metric": metric, "metrics": tuple(each for each in further if each != metric), "claims": claims}


def _metric_at(scale: str, metric: str, proxies: Proxies) -> str:
    name, at, test_set = metric.partition("@")
    if not at or scale not in SCALES:
        return metric
    return f"{name}@{SCALES[scale].test_set(test_set, proxies)}"
