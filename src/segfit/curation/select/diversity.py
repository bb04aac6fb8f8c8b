"""The chooser by diversity: k-centre greedy on the embeddings of a network.

Farthest-first traversal: T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
Computer Science 38, 1985; as a choice of training images: O. Sener, S. Savarese, "Active Learning for Convolutional
Neural Networks: A Core-Set Approach", ICLR 2018. The largest distance of any image to its nearest chosen one is at most
twice the smallest possible.

Shape suffixes: N images, D features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segfit.curation.select import Pool
from segfit.curation.select.embedding import Backbone, embed

__all__ = ["Diverse", "k_centres"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Diverse:
    """Chooses images such that every other one looks like one of them.

    Attributes:
        backbone: what looks at them.
    """

    backbone: Backbone

    @property
    def words(self) -> tuple[str, ...]:
        """The options."""
        weights = self.backbone.weights
        return "--diverse", self.backbone.name, *(("--weights", str(weights)) if weights is not None else ())

    def choose(self, pool: Pool, count: int) -> NDArray[np.intp]:
        """Return `count` positions, the most typical image first, then always the one least like those before it.

        Raises:
            DataError: an image is unreadable.
        """
        order, _ = k_centres(embed(self.backbone, [record.image for record in pool.records]), count)
        return order


def k_centres(points: Vectors, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Choose `count` of N points, each the farthest from those before it; the first is the one nearest to the mean.

    Memory is that of the points and a few values per point; time is O(N D count).

    Args:
        points: `(N, D)`.
        count: 1..N.

    Returns:
        The positions of the chosen points, in order, and for every length of that list the largest distance of a point
        to its nearest chosen one (it never grows).
    """
    squares = np.einsum("nd,nd->n", points, points)
    order = np.empty(count, dtype=np.intp)
    radii = np.empty(count, dtype=np.float32)
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    centre = int(_squared_distances(points, squares, points.mean(axis=0, dtype=np.float64).astype(np.float32)).argmin())
    for step in range(count):
        order[step] = centre
        np.minimum(nearest, _squared_distances(points, squares, points[centre]), out=nearest)
        nearest[centre] = -1  # exact copies of a chosen point are 0 away: they come last, but each point only once
        centre = int(nearest.argmax())
        radii[step] = np.sqrt(max(nearest[centre], 0))
    return order, radii


def _squared_distances(points: Vectors, squares: Vectors, centre: Vectors) -> Vectors:
    """Return the squared distances `(N,)` of `points`, whose squared norms are `squares`, to a point `(D,)`."""
    distances: Vectors = squares - 2 * (points @ centre) + centre @ centre
    return np.maximum(distances, 0, out=distances)
