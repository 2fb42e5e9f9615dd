"""Meshes, and where leaves and batches lie on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from segsynth.engine import sharding
from segsynth.errors import UserError


def _shape(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_data_takes_the_devices_that_fsdp_leaves():
    assert dict(sharding.plan().mesh.shape) == {"data": 8, "fsdp": 1}
    assert dict(sharding.plan(fsdp=4).mesh.shape) == {"data": 2, "fsdp": 4}
    assert sharding.plan(data=1).mesh.size == 1
    assert sharding.plan(data=2, fsdp=2).mesh.size == 4


@pytest.mark.parametrize("mesh", [{"data": 9}, {"data": 3, "fsdp": 4}, {"fsdp": 16}, {"data": 0}])
def test_a_mesh_that_does_not_fit_is_refused(mesh):
    with pytest.raises(UserError, match=r"does not fit 8 devices; set mesh.data=-1"):
        sharding.plan(**mesh)


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((256, 512), P(None, "fsdp")),
        ((512, 256), P("fsdp")),
        ((256, 256), P(None, "fsdp")),  # of equal axes the last, a kernel's outputs
        ((3, 3, 64, 130), P(None, None, "fsdp")),  # 4 does not divide 130
        ((65537,), P()),
        ((128, 511), P()),  # just below the limit
        ((128, 512), P(None, "fsdp")),  # just at it
        ((), P()),
    ],
)
def test_fsdp_shards_the_largest_axis_that_it_divides(shape, spec):
    assert sharding.plan(fsdp=4).leaf(_shape(*shape)).spec == spec


def test_without_fsdp_everything_is_replicated():
    assert sharding.plan().leaf(_shape(4096, 4096)).spec == P()


def test_a_sharded_leaf_takes_a_share_of_memory():
    plan = sharding.plan(fsdp=4)
    shape = _shape(256, 512)
    value = jax.device_put(jnp.zeros((256, 512)), plan.tree({"w": shape})["w"])
    assert {s.data.shape for s in value.addressable_shards} == {(256, 128)}
    assert plan.abstract({"w": shape})["w"].sharding == value.sharding


@pytest.mark.parametrize("mesh", [{}, {"fsdp": 4}])
def test_a_batch_is_split_over_all_devices_and_keeps_its_order(mesh):
    rows = np.arange(16, dtype=np.int32)
    batch = sharding.plan(**mesh).put_batch({"index": rows})["index"]
    assert {s.data.shape for s in batch.addressable_shards} == {(2,)}
    np.testing.assert_array_equal(batch, rows)


def test_a_batch_that_cannot_be_shared_out_is_refused():
    plan = sharding.plan()
    plan.check_batch(16, "train.global_batch")
    with pytest.raises(UserError, match="12 is not divisible by the mesh of 8 devices"):
        plan.check_batch(12, "train.global_batch")
