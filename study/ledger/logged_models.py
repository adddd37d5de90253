"""Models of trials in MLflow: logged beside their runs, registered by a name.

A logged model has pixels as its input (`study.export.exported_program`), and is saved as a program of torch.export:
loading it runs no pickled code. Its params and metrics are those of the run.
"""

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_model_name

from revit.errors import InputError, first_line
from study.ledger.artifacts import Artifacts
from study.ledger.runs import MAX_NAME_CHARS, Runs, storable
from study.ledger.schema import IDENTITY_TAG
from study.ledger.transient import is_transient

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from torch import nn

MODEL_TYPE = "image classifier"
REFUSED_IN_NAMES = str.maketrans(dict.fromkeys("/:.%\"'", "_"))
"""Characters that MLflow takes in no name of a logged model."""
NUM_EXAMPLES = 2
"""Images in the example of an input; of 1, torch.export would take the size of the batch as fixed."""


class Version(NamedTuple):
    """Version of a registered model.

    Attributes:
        is_new: it was made just now.
    """

    number: int
    is_new: bool


class LoggedModels:
    """Models of the runs of a store."""

    def __init__(self, runs: Runs, artifacts: Artifacts) -> None:
        self._runs = runs
        self._artifacts = artifacts
        self._client = runs.client

    def check_name(self, name: str) -> None:
        """Raise InputError unless the store has a model registry, which takes this name, and its files are found."""
        if self._artifacts.was_moved:
            raise InputError(f"--register = {name!r}: the store was moved: let MLflow find its files by `doctor --fix`")
        if set(name) & set("'\"`"):  # MLflow's searches quote by them
            raise InputError(f"--register = {name!r}: must have no quotes")
        try:
            _validate_model_name(name)
        except MlflowException as error:
            raise InputError(f"--register = {name!r}: MLflow does not take this name: {first_line(error)}") from error
        try:
            self._client.search_registered_models(max_results=1)
        except MlflowException as error:
            if is_transient(error):
                raise
            raise InputError(f"--register = {name!r}: the store has no model registry: {first_line(error)}") from error

    def log(
        self,
        run_id: str,
        identity: str,
        *,
        name: str,
        network: "nn.Module",
        resolution: int,
        metadata: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> str:
        """Log the model of a finished trial beside its run, unless it is logged already; return the model's id.

        Args:
            name: shown in the UI.
            network: from pixels (B, 3, R, R) uint8 to logits (B, K) float32.
            resolution: R.
            metadata: kept with the model, as JSON.
        """
        if found := self._find_ready(run_id, identity):
            return found
        run = self._client.get_run(run_id)
        model = self._client.create_logged_model(
            self._runs.experiment_id,
            storable(name.translate(REFUSED_IN_NAMES)[:MAX_NAME_CHARS]),
            run_id,
            {**tags, IDENTITY_TAG: identity},
            run.data.params,
            MODEL_TYPE,
        )
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            files = Path(folder) / "model"
            _save(files, model, network, resolution, metadata)
            self._client.log_model_artifacts(model.model_id, str(files))
        metrics = [_of_model(each, model.model_id) for each in run.data._metric_objs]  # with their steps and times
        self._client.log_batch(run_id, metrics)  # the run has these already: it does not get them twice
        self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])  # links it on the run's page
        return str(model.model_id)

    def _find_ready(self, run_id: str, identity: str) -> str | None:
        """Return the id of the model of a trial; delete what killed processes began."""
        condition = f"source_run_id = '{run_id}' AND tags.{IDENTITY_TAG} = '{identity}'"
        found = self._client.search_logged_models([self._runs.experiment_id], condition)
        ready = [each.model_id for each in found if each.status == LoggedModelStatus.READY]
        for each in found:
            if each.status != LoggedModelStatus.READY:
                self._client.delete_logged_model(each.model_id)
        return ready[0] if ready else None

    def register(self, name: str, model_id: str, *, tags: Mapping[str, str], description: str) -> Version:
        """Make a logged model a version of a registered model, unless it is one already. Creates the registered model.

        Raises:
            InputError: the name is that of a prompt.
        """
        model = self._client.get_logged_model(model_id)
        for each in self._client.search_model_versions(f"name = '{name}'"):
            if each.source == model.artifact_location:
                return Version(int(each.version), is_new=False)
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self._client.create_model_version(
            name,
            model.artifact_location,  # with models:/ID, MLflow would look for the model in its default store
            model.source_run_id,
            {key: storable(value) for key, value in tags.items()},
            description=description,
            model_id=model_id,
        )
        return Version(int(version.version), is_new=True)


def _save(
    folder: Path,
    model: "LoggedModel",
    network: "nn.Module",
    resolution: int,
    metadata: Mapping[str, Any],
) -> None:
    """Write a model as MLflow's flavor for PyTorch does."""
    import mlflow.pytorch
    import numpy as np
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of type hints of its own
        import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.models.model import MLMODEL_FILE_NAME
    from mlflow.types import Schema, TensorSpec

    pixels = np.zeros((NUM_EXAMPLES, 3, resolution, resolution), np.uint8)
    with torch.inference_mode():
        num_classes = network(torch.from_numpy(pixels)).shape[1]
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *pixels.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, num_classes))]),
    )
    saved = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_uuid=model.model_id,
        model_id=model.model_id,
        metadata=dict(metadata),
    )
    with torch.no_grad():
        mlflow.pytorch.save_model(
            network,
            folder,
            mlflow_model=saved,
            signature=signature,
            input_example=pixels,
            pip_requirements=[
                f"mlflow=={mlflow.__version__}",
                f"torch=={torch.__version__.partition('+')[0]}",
                f"numpy=={np.__version__}",
            ],
            serialization_format="pt2",
        )
    saved.flavors["python_function"]["config"]["device"] = "cpu"  # a program runs where it was traced
    saved.save(folder / MLMODEL_FILE_NAME)


def _of_model(metric: Metric, model_id: str) -> Metric:
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, model_id=model_id, run_id=metric.run_id)
