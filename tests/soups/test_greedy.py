"""What greedy soups promise, for any scores whatever."""

import itertools
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from segfit.soups.greedy import greedy, uniform
from segfit.soups.kitchen import Kitchen, Tasting


class Table(Kitchen):
    """Mixtures whose scores stand in a table: no model is needed."""

    def __init__(self, count, scores):
        self.ingredients = [SimpleNamespace(name=str(i)) for i in range(count)]
        self.scores, self.tried, self.kept, self.cooked = scores, [], [], None

    def cook(self, weights):
        self.cooked = tuple(weights)

    def taste(self, weights, what):
        self.cook(weights)
        members = frozenset(i for i, weight in enumerate(weights) if weight > 0)
        score = self.scores[members]
        self.tried.append(Tasting(what=what, weights=self.cooked, scores={"dice": score}, score=score))
        return self.tried[-1]

    def keep(self, tasting):
        assert self.cooked == tasting.weights, "what is kept is what the model has"
        self.kept.append(tasting)


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    sets = [frozenset(c) for n in range(1, count + 1) for c in itertools.combinations(range(count), n)]
    levels = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    return count, {members: draw(levels) for members in sets}


@given(tables())
def test_it_is_never_below_its_best_ingredient_and_follows_the_rule(table):
    count, scores = table
    kitchen = Table(count, scores)
    singles = kitchen.taste_ingredients()
    greedy(kitchen, singles)
    best = max(scores[frozenset([i])] for i in range(count))
    assert kitchen.kept[-1].score >= best
    # The rule, written out as the authors do (their recipe 1).
    order = sorted(range(count), key=lambda i: (-scores[frozenset([i])], i))
    soup = {order[0]}
    for index in order[1:]:
        if scores[frozenset({*soup, index})] >= scores[frozenset(soup)]:
            soup.add(index)
    assert kitchen.kept[-1].weights == kitchen.equally(sorted(soup))
    assert kitchen.kept[0].weights == kitchen.alone(order[0])
    assert len(kitchen.tried) == 2 * count - 1


@given(tables())
def test_the_uniform_one_takes_all(table):
    count, scores = table
    kitchen = Table(count, scores)
    uniform(kitchen, kitchen.taste_ingredients())
    assert kitchen.kept[-1].weights == (1 / count,) * count
