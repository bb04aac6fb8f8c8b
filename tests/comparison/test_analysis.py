"""What is learnt from a group rests on the records of the very evaluation that its scores are of."""

import shutil
from pathlib import Path

from run_folders import Fake, write_run
from segfit.comparison.comparing import compare


def test_records_of_another_evaluation_give_no_intervals(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", Fake(name="a", images=20))
    second = write_run(tmp_path / "b", Fake(name="b", images=20, quality=0.3))
    (analysis,) = compare([first, second]).analyses
    assert analysis.statistics is not None
    shutil.copyfile(first / "per_image.parquet", second / "per_image.parquet")
    (analysis,) = compare([first, second]).analyses
    assert analysis.statistics is None
    note = analysis.statistics_note
    assert note is not None
    assert f"{second}: its per-image records are of another evaluation" in note
    assert f"segfit evaluate {second} --per-image {second / 'per_image.parquet'}" in note
