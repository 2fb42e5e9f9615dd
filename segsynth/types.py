"""Names of the structures that pass between rooms."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Key

Array = jax.Array
PRNGKey = Key[Array, ""]

#: One example on the host: modality name -> array without a batch axis.
Example = dict[str, np.ndarray]
#: Modality name -> array; leading axis = examples; images are NHWC.
Batch = Mapping[str, Array]
#: The same on the host.
HostBatch = Mapping[str, np.ndarray]
#: A pytree of parameters of one network, as linen's ``init`` returns it under ``"params"``.
Params = Any
#: What a system reads to predict: ``{"params": {network: ...}, "model_state": {network: ...}}``.
Variables = Mapping[str, Any]
#: Variables that a phase reads and never writes, keyed by network.
Frozen = Mapping[str, Any]
#: Scalars of one training step, by name.
Scalars = dict[str, Array]
