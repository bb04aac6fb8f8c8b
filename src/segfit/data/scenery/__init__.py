"""The drawing room of the synthetic scenes; no torch, no files, only NumPy and OpenCV.

From the bottom up: ``ade`` (class ids), ``geometry`` (camera, places, frames), ``texture`` and ``light``, ``stage``
(the rasteriser), ``patterns`` (surfaces), ``solids`` (bodies), then the things (``plants``, ``people``, ``vehicles``,
``buildings``, ``street``, ``furniture``, ``decor``), where they are (``weather``, ``landscape``, ``rooms``), the scenes
(``town``, ``gardens``, ``country``, ``indoors``, ``tiled_rooms``), and ``film`` and ``render`` that make a photograph and its mask of them.
"""
