"""What greedy soups promise, for any scores whatever."""

import itertools
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from segfit.soups.greedy import greedy, uniform
from segfit.soups.kitchen import Kitchen, Tasting


class Table(Kitchen):
    """Mixtures whose scores stand in a table: no model is needed."""

    def __init__(self, count, scores, unsound=(), normalises=True):
        self.ingredients = [SimpleNamespace(name=str(i)) for i in range(count)]
        self.scores, self.tried, self.kept, self.cooked = scores, [], [], None
        self.unsound, self.normalises = unsound, normalises

    def cook(self, weights, *, measured):
        self.cooked = (tuple(weights), measured)

    def taste_measured(self, index):
        what = f"{index} alone, normalisation measured again"
        return self._taste(self.alone(index), what, measured=True) if self.normalises else None

    def _taste(self, weights, what, *, measured):
        self.cook(weights, measured=measured)
        members = frozenset(i for i, weight in enumerate(weights) if weight > 0)
        key = (members, True) if measured and len(members) == 1 else members
        score, loss = self.scores[key], None if key in self.unsound else 1.0
        self.tried.append(
            Tasting(what=what, weights=tuple(weights), scores={"loss": loss}, score=score, measured=measured)
        )
        return self.tried[-1]

    def keep(self, tasting):
        assert self.cooked == (tasting.weights, tasting.measured), "what is kept is what the model has"
        assert tasting.sound
        self.kept.append(tasting)


@st.composite
def tables(draw):
    count = draw(st.integers(1, 5))
    sets = [frozenset(c) for n in range(1, count + 1) for c in itertools.combinations(range(count), n)]
    levels = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    every = [*sets, *((frozenset([i]), True) for i in range(count))]
    ruined = {key for key in every if key != frozenset([0]) and draw(st.integers(0, 5)) == 0}
    return count, {key: draw(levels) for key in every}, ruined


@given(tables(), st.booleans())
def test_it_is_never_below_its_best_ingredient_and_follows_the_rule(table, normalises):
    count, scores, ruined = table
    kitchen = Table(count, scores, ruined, normalises)
    singles = kitchen.taste_ingredients()
    greedy(kitchen, singles)
    sound = [i for i in range(count) if frozenset([i]) not in ruined]
    first = max(sound, key=lambda i: (scores[frozenset([i])], -i))
    again = (frozenset([first]), True)
    tries_again = normalises and count > 1
    # The rule, written out as the authors do (their recipe 1), from the better of the two beginnings.
    best = scores[frozenset([first])]
    if tries_again and again not in ruined:
        best = max(best, scores[again])
    soup = {first}
    others = sorted(set(range(count)) - {first}, key=lambda i: (i not in sound, -scores[frozenset([i])], i))
    for index in others:
        mixture = frozenset({*soup, index})
        if mixture not in ruined and scores[mixture] >= best:
            soup.add(index)
            best = scores[mixture]
    assert kitchen.kept[-1].score == best >= scores[frozenset([first])]
    assert kitchen.kept[-1].weights == kitchen.equally(sorted(soup))
    assert kitchen.kept[0] == singles[first], "it begins as that one, exactly as it is"
    assert len(kitchen.tried) == 2 * count - 1 + tries_again
    assert not tries_again or kitchen.tried[count].what == f"{first} alone, normalisation measured again"


@given(tables())
def test_the_uniform_one_takes_all(table):
    count, scores, _ = table
    kitchen = Table(count, scores)
    uniform(kitchen, kitchen.taste_ingredients())
    assert kitchen.kept[-1].weights == (1 / count,) * count
