"""Seeds: a stream of numbers for each seed and purpose, and no trace of any of them elsewhere."""

import numpy as np
import torch

from esacl.seeds import numpy_generator, torch_generator

PURPOSES = [(), ("batches",), ("batches", 0), ("batches", 1), ("batches", 0, 1), ("batches", 1, 0), ("fisher", 0)]


def draws(make) -> list[tuple]:
    return [tuple(make(seed, *purpose)) for seed in (0, 1, 2**31 - 1) for purpose in PURPOSES]


def by_torch(seed, *purpose):
    return torch.rand(3, generator=torch_generator(seed, *purpose)).tolist()


def by_numpy(seed, *purpose):
    return numpy_generator(seed, *purpose).random(3).tolist()


def test_seed_and_purpose_decide():
    for make in (by_torch, by_numpy):
        assert draws(make) == draws(make)
        assert len(set(draws(make))) == 3 * len(PURPOSES)


def test_the_numbers_are_the_same_on_every_machine_and_in_every_process():
    # hash() of a string differs between processes. This is `printf 0/batches/0/0 | sha256sum`, seven bytes of it.
    number = 0x4E77EF3B7B535C
    assert torch_generator(0, "batches", 0, 0).initial_seed() == number
    assert numpy_generator(0, "batches", 0, 0).random() == np.random.default_rng(number).random()


def test_global_random_states_are_left_alone():
    torch.manual_seed(5)
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    by_torch(0, "x"), by_numpy(0, "x")
    assert torch.random.get_rng_state().equal(before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002
