import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segfit.config.gpus import GPUS
from segfit.planning.footprint import Operation
from segfit.planning.roofline import Speed, all_reduce_seconds, measured, published, step_seconds


def operation(count, flops, size, dtype="fp32"):
    return Operation(name="convolution", dtype=dtype, count=count, flops=flops, bytes=size)


def speed(flops, bandwidth, efficiency=1.0):
    rates = {"fp32": flops, "fp16": 2 * flops}
    return Speed(flops=rates, bandwidth=bandwidth, efficiency=efficiency, source="published")


OPERATIONS = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 10**12), st.integers(1, 10**10), st.sampled_from(["fp32", "fp16"])),
    max_size=6,
)


@given(given=OPERATIONS, flops=st.floats(1e9, 1e15), bandwidth=st.floats(1e9, 1e13), efficiency=st.floats(0.1, 1))
def test_a_step_is_the_sum_of_what_bounds_each_call(given, flops, bandwidth, efficiency):
    expected = 0.0
    for count, work, size, dtype in given:
        rate = flops if dtype == "fp32" else 2 * flops
        expected += sum(max(work / rate, size / bandwidth) for _ in range(count))
    found = step_seconds([operation(*one) for one in given], speed(flops, bandwidth, efficiency))
    assert math.isclose(found, expected / efficiency, rel_tol=1e-9)


def test_what_has_no_arithmetic_only_moves():
    assert step_seconds([operation(3, 0, 10**9, "other")], speed(1e12, 1e9)) == 3.0


def test_gpus_that_are_faster_in_everything_take_less_time():
    work = [operation(10, 10**11, 10**8), operation(50, 0, 10**8)]
    times = [step_seconds(work, published(GPUS[name])) for name in ("t4", "v100-16gb", "a100-80gb", "h100")]
    assert times == sorted(times, reverse=True)


def test_one_gpu_adds_no_gradients_and_many_at_most_send_them_twice():
    assert all_reduce_seconds(10**8, 1) == 0
    times = [all_reduce_seconds(10**8, world) for world in (2, 4, 8, 1000)]
    assert times == sorted(times)
    # Two bytes on the wire for each byte of the gradients, however many take part.
    assert times[-1] < 2 * 4 * 10**8 / 10e9
    assert times[0] == pytest.approx(4 * 10**8 / 10e9)


def test_this_machine_is_measured_once():
    found = measured(torch.device("cpu"), ("fp32",))
    assert found.source == "measured"
    # A processor of this century, and none of the next.
    assert 1e8 < found.flops["fp32"] < 1e14
    assert 1e8 < found.bandwidth < 1e13
    assert measured(torch.device("cpu"), ("fp32",)) is found
