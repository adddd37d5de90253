"""Classes of real errors, as the libraries raise them."""

from pathlib import Path

import ray
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, RayActorError, WorkerCrashedError
from ray.exceptions import OutOfMemoryError as HostOutOfMemoryError
from torch.distributed import DistNetworkError

from revit.errors import InputError
from study.execution.failures import NodeUnfitError, classify, signature_of, summarize


def raised(call: object) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def test_real_errors_get_their_class() -> None:
    assert classify(raised(lambda: torch.empty(10**15))) == "device out of memory"
    assert classify(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")) == "device out of memory"
    assert classify(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")) == "device out of memory"
    assert classify(raised(lambda: bytearray(10**15))) == "host out of memory"
    assert classify(HostOutOfMemoryError("killed")) == "host out of memory"
    assert classify(RayActorError(None, "the node was running low on memory")) == "host out of memory"
    for error in (ActorDiedError(), NodeDiedError("gone"), WorkerCrashedError(), DistNetworkError("port in use")):
        assert classify(error) == "lost worker"
    assert classify(NodeUnfitError("id", "its disk is full")) == "unfit node"
    assert classify(raised(Path("/nowhere").read_bytes)) == "data"
    assert classify(InputError("dataset digits has no images")) == "data"
    assert classify(raised(lambda: torch.zeros(2) @ torch.zeros(3))) == "code"


def test_the_error_of_a_worker_is_classified_by_its_cause(ray_cluster: None) -> None:
    @ray.remote
    def fails() -> None:
        torch.empty(10**15)

    @ray.remote
    def is_unfit() -> None:
        raise NodeUnfitError("id", "its disk is full")

    error = raised(lambda: ray.get(fails.remote()))
    assert classify(error.cause) == "device out of memory"
    unfit = raised(lambda: ray.get(is_unfit.remote())).cause
    assert (classify(unfit), unfit.node_id, unfit.reason) == ("unfit node", "id", "its disk is full")


TRACEBACK = """ray::train() (pid=1)
  File "trainable.py", line 9, in train
    step()
  File "{file}", line {line}, in step
    {code}
{error}"""


def test_failures_have_the_same_signature_where_class_type_and_line_agree() -> None:
    def make_signature(line: int, error: BaseException) -> object:
        return signature_of(error, TRACEBACK.format(file="fine_tune.py", line=line, code="loss()", error=error))

    assert make_signature(7, ValueError("3 classes")) == make_signature(7, ValueError("5 classes"))
    assert make_signature(7, ValueError("3 classes")) != make_signature(8, ValueError("3 classes"))
    assert make_signature(7, ValueError("3 classes")) != make_signature(7, TypeError("3 classes"))


def test_a_failure_is_summarized_in_one_line() -> None:
    assert summarize(ValueError("first\n\nlast\n")) == "ValueError: last"
    assert summarize(ValueError("")) == "ValueError:"
    assert len(summarize(ValueError("word " * 1000))) <= 240
