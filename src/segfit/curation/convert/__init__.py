"""Annotations of other kinds to a dataset that segfit trains on: ``segfit data convert``."""

from segfit.curation.convert.contract import FORMATS, VOID, Conversion, Item
from segfit.curation.convert.writing import Converted, convert

__all__ = ["FORMATS", "VOID", "Conversion", "Converted", "Item", "convert"]
