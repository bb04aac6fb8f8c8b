"""What is wrong with a dataset: ``segfit data check``.

``structure`` (is the file whole, what does its header say) -> ``probe`` (one image, one mask) -> ``masks`` (are the
labels the dataset's), ``names`` (are the files pairs), ``across`` and ``duplicates`` (what only shows between files)
-> ``dataset`` (the pass that puts it all together) -> ``report``. ``quick`` is the part that training does by itself.
"""

from segfit.data.check.codes import CODES, Code, Fault, require_codes
from segfit.data.check.dataset import Result, check_dataset
from segfit.data.check.quick import quick_check
from segfit.data.check.structure import LIMITS, Limits

__all__ = ["CODES", "LIMITS", "Code", "Fault", "Limits", "Result", "check_dataset", "quick_check", "require_codes"]
