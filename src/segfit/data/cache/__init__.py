"""The decoded cache: every image and mask of a split decoded and resized once, to be read without decoding again.

A cache is a folder of shards (``shard.py``: images as 8-bit RGB, masks in source ids, so that one cache serves every
choice of classes) and a manifest that is written last (``manifest.py``). `prepare` writes it, `Cache` reads it. The
idea to keep images at training size in memory-mapped files, plain or as JPEG, is that of FFCV (G. Leclerc et al., CVPR
2023).
"""

from segfit.data.cache.reading import Cache
from segfit.data.cache.space import Plan
from segfit.data.cache.writing import prepare, verify

__all__ = ["Cache", "Plan", "prepare", "verify"]
