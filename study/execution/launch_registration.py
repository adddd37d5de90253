"""Registration of a launch: its records are stored before its first trial starts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from study.ledger.ledger import Ledger
from study.ledger.records import now_ms
from study.ledger.schema import USER_TAG
from study.plan import Plan
from study.registration.code_version import code_version
from study.registration.disagreements import launch_files
from study.registration.record import make_registration


def register_plans(
    plans: Sequence[Plan],
    launches: Mapping[str, str],
    ledger: Ledger,
    tags: Mapping[str, str],
    log: Callable[[str], None],
) -> dict[str, str]:
    """Store what each plan registers with its launch, and return the digests by the name of the study.

    Args:
        launches: ids of the launch's runs, by the name of their study.
        tags: of the launch: its user and commit.
    """
    digests, code = {}, code_version(tags)
    for plan in plans:
        name = plan.space.name
        record = make_registration(
            plan,
            code,
            user=tags.get(USER_TAG, ""),
            created_ms=now_ms(),
            previous=ledger.retry(partial(ledger.registrations.newest_digest, plan.space.tags), log=log),
        )
        digests[name] = record.digest
        write = partial(ledger.registrations.write, launches[name], record.digest, launch_files(record))
        ledger.retry(write, log=log)
    return digests
