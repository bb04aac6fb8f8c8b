"""The drawing room of the synthetic scenes; no torch, no files, only NumPy and OpenCV.

From the bottom up: ``ade`` (class ids), ``geometry`` (camera, places, frames), ``texture`` and ``light``, ``stage``
(the rasteriser), ``patterns`` (surfaces), ``solids`` (bodies); the things: ``plants``, ``people``, ``vehicles``,
``buildings``, ``street``, ``furniture``, ``decor``; what surrounds them: ``weather``, ``landscape``, ``outdoors``,
``rooms``, ``dressing``; the scenes: ``town``, ``gardens``, ``country``, ``indoors``, ``tiled_rooms``; ``film``, which
makes a photograph and its mask of a scene, and ``render``, which chooses the scene.
"""
