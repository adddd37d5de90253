"""Decision rule of a study: by which tests its claims get their verdicts, in words."""

import hashlib

from search_spaces.framework.space import SearchSpace
from study.analysis.claim_tests import ASSUMED_SEED_SD
from study.analysis.intervals import LEVEL


def decision_rule(space: SearchSpace) -> dict[str, str]:
    """Return the decision rule of a study's claims, by name. Margins and published values are in the claims."""
    rule = {
        "level": f"{100 * LEVEL:g} %, two-sided",
        "family": "Holm's correction over the claims of the study",
        "supported": "all contrasts of the claim support it (intersection-union test)",
        "contradicted": "one contrast does, after Bonferroni's correction over those of the claim",
        "variance": "seeds and test images; paired by seed and by image",
        "equivalence": "two one-sided tests within the margin",
    }
    if space.reproduced is None:
        return rule
    rows = repr(space.reproduced.rows_of(str(space.table)))
    published = f"table {space.table} of {space.paper}, digest {hashlib.sha256(rows.encode()).hexdigest()[:16]}"
    assumed = f"a standard deviation of {100 * ASSUMED_SEED_SD:g} pp between seeds is assumed"
    return {**rule, "published values": f"{published}; {assumed}"}
