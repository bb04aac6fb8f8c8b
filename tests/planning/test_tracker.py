"""The tracker against programs whose bytes and operations can be counted by hand, and against torch's own allocator."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _get_current_dispatch_mode

from segfit.planning.measure import measured_peak
from segfit.planning.tracker import Call, Tracker


def call(tracker: Tracker, name: str) -> Call:
    (found,) = (call for call in tracker.calls if call.name == name)
    return found


def living(tracker: Tracker) -> list[int]:
    return [block.size for block in tracker.blocks if block.died is None]


def test_every_byte_of_a_small_program():
    with Tracker() as tracker:
        a = torch.zeros(100)
        b = a * 2
        del a
        c = torch.ones(25, dtype=torch.uint8)
        del b
        d = c.float()
    del c, d
    # zeros; a and b; b and c; c and d
    assert tracker.held()[1:] == [400, 800, 425, 125]
    assert living(tracker) == []


def test_views_share_their_storage_and_keep_it():
    with Tracker() as tracker:
        whole = torch.zeros(10, 10)
        part = whole[2:4].mT.reshape(-1)[:3].detach()
        view = whole.view(100)[:5]
        del whole
        assert 400 in living(tracker)
        del view
        assert living(tracker) == [80], "the copy that reshape made"
    assert part.numel() == 3


def test_writing_in_place_allocates_nothing():
    with Tracker() as tracker:
        a = torch.zeros(50)
        a.add_(1).mul_(a).copy_(torch.ones(()))
        torch.mul(a, 2, out=a)
    assert sorted(block.size for block in tracker.blocks) == [4, 200]


def test_a_storage_that_is_resized_counts_with_its_new_size():
    with Tracker() as tracker:
        a = torch.empty(0)
        a.resize_(64)
    assert living(tracker) == [256]
    del a
    assert living(tracker) == []


def test_sizes_are_rounded_as_the_allocator_does():
    with Tracker(granularity=512) as tracker:
        kept = [torch.zeros(1), torch.zeros(128), torch.zeros(129)]
    assert living(tracker) == [512, 512, 1024]
    assert len(kept) == 3


def test_what_an_operation_needs_for_itself_is_there_during_its_call_only():
    with Tracker(scratch=lambda name, _args, results: 1000 * len(results) if name == "mul" else 0) as tracker:
        a = torch.zeros(10)
        b = a * a
        c = b + 1
    assert tracker.held()[1:] == [40, 1080, 120]
    assert c.numel() == 10


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5000)), min_size=1, max_size=30))
def test_the_peak_is_that_of_torchs_allocator(program):
    """Each entry puts a tensor of some size into a place; what was there is freed once the new one is there."""

    def work():
        places = {}
        for place, size in program:
            places[place] = torch.empty(size, dtype=torch.uint8)

    with Tracker() as tracker:
        work()
    assert max(tracker.held()) == measured_peak(work, torch.device("cpu"))


@pytest.mark.parametrize("stride", [1, 2])
def test_flops_of_a_convolution_forward_and_backward(stride):
    x = torch.randn(2, 3, 16, 12, requires_grad=True)
    weight = torch.randn(8, 3, 3, 3, requires_grad=True)
    with Tracker() as tracker:
        F.conv2d(x, weight, stride=stride, padding=1).sum().backward()
    forward = 2 * 2 * 8 * (16 // stride) * (12 // stride) * 3 * 9
    assert call(tracker, "convolution").flops == forward
    # Once for the gradient of the input, once for that of the weights.
    assert call(tracker, "convolution_backward").flops == 2 * forward
    assert call(tracker, "convolution").dtype == "fp32"


def test_bytes_are_what_has_to_be_read_and_written():
    a, b = torch.zeros(100), torch.zeros(1).expand(100)
    with Tracker() as tracker:
        c = a * b
        c.add_(a)
        c.copy_(a)
        a.view(10, 10).t().unsqueeze(0)
        torch.empty(1000)
        a.half()
    assert call(tracker, "mul").bytes == 400 + 4 + 400
    assert call(tracker, "add_").bytes == 400 + 400 + 400
    assert call(tracker, "copy_").bytes == 400 + 400
    assert call(tracker, "_to_copy").bytes == 400 + 200
    assert {call.name for call in tracker.calls} == {"mul", "add_", "copy_", "_to_copy"}
    assert all(call.flops == 0 for call in tracker.calls)


def test_arithmetic_is_named_by_its_type():
    with Tracker() as tracker:
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.int64):
            torch.ones(2, dtype=dtype).neg()
    assert {call.dtype for call in tracker.calls if call.name == "neg"} == {"fp32", "bf16", "fp16", "other"}


def test_in_inference_mode_the_same_operations_are_seen():
    x, layer = torch.zeros(1, 3, 8, 8), torch.nn.Conv2d(3, 4, 3)
    seen = []
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), Tracker() as tracker:
            F.interpolate(layer(x), scale_factor=2, mode="bilinear")
        seen.append((tracker.calls, max(tracker.held())))
    assert seen[0] == seen[1]
    assert call(tracker, "convolution").flops > 0


def test_fake_tensors_take_no_memory_and_have_values_to_divide_by():
    with FakeTensorMode(), Tracker() as tracker:
        x = torch.zeros(10**12)
        assert (x.sum() * 0).item() == 1
        assert (x > 0).nonzero().shape == (10**12, 1)
        assert x[x > 0].shape == x.masked_select(x > 0).shape == x.shape
        assert torch.bincount(x.long(), minlength=7).shape == (7,)
    assert max(tracker.held()) > 4 * 10**12


def test_an_error_leaves_nothing_behind():
    tracker = Tracker()
    with pytest.raises(RuntimeError), tracker:
        torch.zeros(2) + torch.zeros(3)
    assert _get_current_dispatch_mode() is None
    gc.collect()
    assert living(tracker) == []


def test_tensors_may_outlive_the_tracker():
    with Tracker() as tracker:
        a = torch.zeros(10)
    gone = weakref.ref(tracker)
    del tracker
    assert gone() is None, "nothing keeps it, not even what it watches"
    del a
