"""The demo as `make demo` runs it: minutes, so it is marked slow."""

import json

import pytest


@pytest.mark.slow
def test_every_model_of_the_demo_is_well_above_the_majority_class(command, tmp_path):
    command("study", "demo", "--out", tmp_path / "demo")
    runs = [path.parent for path in (tmp_path / "demo").glob("*/metrics.json")]
    assert len(runs) == 3
    for run in runs:
        facts = json.loads((run / "metrics.json").read_text())["evaluation"]
        assert facts["scores"]["dice"] > 3 * facts["baseline"]["dice"]
        assert facts["scores"]["pixel_accuracy"] > facts["baseline"]["pixel_accuracy"] + 0.1
    assert (tmp_path / "demo" / "report.html").is_file()
