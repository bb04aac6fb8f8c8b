import json
from pathlib import Path

import pytest

from run_folders import Fake, edit_json, write_run
from segfit.comparison.facts import read_run
from segfit.comparison.plans import PARTS, read_plan
from segfit.config import build_recipe
from segfit.errors import RunError
from segfit.planning.devices import of_size
from segfit.planning.plan import settle


@pytest.fixture(scope="module")
def real_plan() -> dict:
    """What planning writes, for a small model."""
    recipe = build_recipe(
        {
            "name": "small",
            "augment": {"preset": "paper", "size": [32, 32]},
            "model": {"name": "unet", "width": 4, "depth": 2},
            "train": {"batch": 4, "precision": "fp32", "device": "cpu"},
            "evaluate": {"batch": 4, "resize": "squash"},
        }
    )
    return settle(recipe, classes=5, images=20, device=of_size(8_000_000_000), world=2).facts()


def test_what_planning_writes_is_read(tmp_path: Path, real_plan: dict) -> None:
    run = read_run(write_run(tmp_path / "run", Fake(plan=real_plan, memory=1_000_000)))
    plan = read_plan(run)
    assert plan is not None
    assert plan.memory.peak == real_plan["memory"]["peak"]
    training = plan.memory.training
    assert sum(getattr(training, part) for part in PARTS) == real_plan["memory"]["training"]["total"]
    assert plan.flops == 2 * real_plan["flops_per_step"] > 0
    assert plan.ratio(run) == pytest.approx(plan.memory.peak / 1_000_000)


def test_a_plan_is_not_held_against_the_memory_of_a_process(tmp_path: Path, real_plan: dict) -> None:
    folder = write_run(tmp_path / "run", Fake(plan=real_plan, memory_kind="resident in RAM"))
    edit_json(folder / "environment.json", "device", value="cpu")
    run = read_run(folder)
    plan = read_plan(run)
    assert plan is not None
    assert plan.ratio(run) is None


def test_runs_without_a_plan_have_none(tmp_path: Path) -> None:
    assert read_plan(read_run(write_run(tmp_path / "old", Fake()))) is None
    failed = Fake(plan={"recipe": "custom", "error": "cannot be traced"})
    assert read_plan(read_run(write_run(tmp_path / "failed", failed))) is None


@pytest.mark.parametrize("damage", [{"memory": {"peak": -1}}, {"flops_per_step": "many"}])
def test_a_damaged_plan_is_named(tmp_path: Path, real_plan: dict, damage: dict) -> None:
    folder = write_run(tmp_path / "run", Fake(plan=real_plan))
    (folder / "plan.json").write_text(json.dumps({**real_plan, **damage}))
    with pytest.raises(RunError, match=r"plan\.json: .*: restore the file or delete it"):
        read_plan(read_run(folder))
