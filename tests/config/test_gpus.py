import pytest

from segfit.config import Hardware, build_recipe, resolve
from segfit.config.gpus import GPUS, Gpu, find_gpu, fit_target
from segfit.errors import RecipeError
from segfit.parts import REGISTRIES
from segfit.units import parse_memory

NOMINAL = {
    "v100-16gb": 16,
    "v100-32gb": 32,
    "t4": 16,
    "p100": 16,
    "l4": 24,
    "a10": 24,
    "a100-40gb": 40,
    "a100-80gb": 80,
}
NOMINAL |= {"h100": 80, "h200": 141 / 1.073741824, "rtx3060": 12, "rtx3070": 8, "rtx3080": 10, "rtx3090": 24}
NOMINAL |= {"rtx4060": 8, "rtx4070": 12, "rtx4080": 16, "rtx4090": 24, "rtx5060": 8, "rtx5060ti": 16, "rtx5070": 12}
NOMINAL |= {"rtx5070ti": 16, "rtx5080": 16, "rtx5090": 32}


@pytest.mark.parametrize("key", GPUS)
def test_what_cuda_reports_is_a_little_less_than_what_is_printed_on_the_box(key):
    # The maker of 141 GB counts 10⁹ bytes each and rounds down a little more than others.
    assert 0.9 <= GPUS[key].memory / (NOMINAL[key] * 2**30) <= (1.07 if key == "h200" else 1)


@pytest.mark.parametrize("gpu", GPUS.values(), ids=GPUS)
def test_rates_are_in_the_order_that_hardware_has(gpu):
    assert gpu.fp32 <= gpu.flops("fp32") <= gpu.flops("fp16")
    assert gpu.precisions[-1] == "fp32"
    assert ("bf16" in gpu.precisions) == (gpu.bf16 is not None)
    # From Ampere on there are tensor cores for both bfloat16 and TF32, before for neither.
    assert (gpu.bf16 is None) == (gpu.tf32 is None)
    # Anything else is a slip of a unit.
    assert 9 <= gpu.fp32 / gpu.bandwidth <= 105
    native = [precision for precision in ("bf16", "fp16", "fp32") if precision in gpu.precisions]
    assert gpu.precisions == tuple(sorted(native, key=gpu.flops, reverse=True))


def test_every_gpu_is_found_by_its_own_name():
    for key, gpu in GPUS.items():
        assert find_gpu(key) is gpu
        assert find_gpu(gpu.name) is gpu
        assert find_gpu(f"  NVIDIA {gpu.name.upper()} ".strip()) is gpu


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("3090", "RTX 3090"),
        ("NVIDIA GeForce RTX 5070 Ti", "RTX 5070 Ti"),
        ("Tesla T4", "T4"),
        ("v100", "V100-16GB"),
        ("A100", "A100-40GB"),
        ("a100_80gb", "A100-80GB"),
    ],
)
def test_names_that_people_use(text, name):
    assert find_gpu(text).name == name


@pytest.mark.parametrize(("word", "meant"), [("t5", "t4"), ("rtx3091", "rtx3090"), ("h10", "h100"), ("v10", "v100")])
def test_a_typo_is_told(word, meant):
    with pytest.raises(RecipeError, match=rf"no GPU is called '{word}' \(did you mean '{meant}'\?\)"):
        find_gpu(word)


def test_what_resembles_nothing_lists_all():
    with pytest.raises(RecipeError, match=r"known: a10, .*v100-32gb"):
        find_gpu("zzz")


def test_fit_is_an_amount_of_memory_or_a_gpu():
    assert fit_target("16GB") == parse_memory("16GB")
    target = fit_target("t4")
    assert isinstance(target, Gpu)
    assert target.name == "T4"
    assert fit_target("3090") == find_gpu("rtx3090")  # a number is no memory without a unit
    with pytest.raises(RecipeError, match=r"train\.fit: 't5' is neither an amount of memory \(16GB\) nor a GPU .*'t4'"):
        fit_target("t5")


def test_resolving_refuses_what_nothing_can_fit_in(tmp_path):
    hardware = Hardware(precisions={"cpu": ("fp32",)}, cores=1, cache=tmp_path)
    recipe = build_recipe({"train": {"fit": "16XB"}})
    with pytest.raises(RecipeError, match=r"train\.fit: '16XB'"):
        resolve(recipe, REGISTRIES, hardware)
    recipe = build_recipe({"train": {"fit": "T4", "batch": "auto"}})
    assert resolve(recipe, REGISTRIES, hardware).train.fit == "T4"
