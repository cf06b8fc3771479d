from itertools import chain

from gluonnorm.data import AspectGroupSampler
from gluonnorm.errors import InputError

import numpy as np
import pytest

SIZES = np.random.default_rng(0).integers(1, 5, (53, 2))  # squares among them
PORTRAIT = SIZES[:, 0] > SIZES[:, 1]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 8, 100])
def test_every_image_once_and_groups_apart(batch_size, shuffle):
    batches = list(AspectGroupSampler(SIZES, batch_size, shuffle, seed=0))
    assert sorted(chain(*batches)) == list(range(len(SIZES)))
    assert sum(len(set(PORTRAIT[batch])) > 1 for batch in batches) <= 1
    assert sum(len(batch) < batch_size for batch in batches) <= 1


def test_in_order_without_shuffle():
    assert list(AspectGroupSampler(SIZES, 1, shuffle=False, seed=0)) == [
        [index] for index in range(len(SIZES))
    ]


def test_seed_and_epoch_decide():
    sampler = AspectGroupSampler(SIZES, 4, shuffle=True, seed=1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first and len(second) == len(first)
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(AspectGroupSampler(SIZES, 4, shuffle=True, seed=2)) != first


@pytest.mark.parametrize("num_parts", [2, 3, 5, 60])
def test_workers_split_the_batches_of_one_process(num_parts):
    samplers = [AspectGroupSampler(SIZES, 3, True, 0, part, num_parts) for part in range(num_parts)]
    one_process = AspectGroupSampler(SIZES, 3 * num_parts, True, 0)
    for epoch in range(3):
        one_process.set_epoch(epoch)
        for sampler in samplers:
            sampler.set_epoch(epoch)
        assert {len(sampler) for sampler in samplers} == {len(one_process)}
        for batch, *shares in zip(one_process, *samplers):
            assert sorted(chain(*shares)) == sorted(batch)
            counts = [len(share) for share in shares]
            assert max(counts) <= 3 and max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    "batch_size, num_parts, drop_last",
    [
        (1, 1, False),
        (4, 1, False),
        (4, 3, False),
        (53, 1, False),
        (60, 1, False),
        (4, 1, True),
        (4, 3, True),
        (53, 1, True),
    ],
)
def test_length(batch_size, num_parts, drop_last):
    sampler = AspectGroupSampler(
        SIZES, batch_size, True, 0, num_parts=num_parts, drop_last=drop_last
    )
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert not drop_last or all(len(batch) == batch_size for batch in batches)


def test_bad_arguments():
    with pytest.raises(InputError, match="batch_size is 0"):
        AspectGroupSampler(SIZES, 0, True, 0)
    with pytest.raises(InputError, match="part is 2 of 2"):
        AspectGroupSampler(SIZES, 1, True, 0, part=2, num_parts=2)
    with pytest.raises(
        InputError, match="53 images do not make one batch of 54 for each of 1 parts"
    ):
        AspectGroupSampler(SIZES, 54, True, 0, drop_last=True)
    with pytest.raises(InputError, match="0 images"):
        AspectGroupSampler(np.zeros((0, 2)), 1, True, 0)
