import pytest
from hypothesis import given
from hypothesis import strategies as st

from segfit import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 10**9),
        ("16GiB", 16 * 2**30),
        ("16 gb", 16 * 10**9),
        (" 1.5TB ", 1_500_000_000_000),
        ("800mib", 800 * 2**20),
        (".5kb", 500),
        ("7b", 7),
    ],
)
def test_an_amount_of_memory_is_read(text, size):
    assert units.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "16", "GB", "0GB", "-3GB", "16XB", "16 G", "1e3GB", "16GB.", "1.2.3GB", "nanGB"])
def test_what_is_no_amount_of_memory_is_refused_with_the_mend(text):
    with pytest.raises(ValueError, match="write 16GB or 16GiB"):
        units.parse_memory(text)


@given(st.integers(1, 9999), st.sampled_from(["KB", "MB", "GB", "TB", "KiB", "MiB", "GiB"]))
def test_case_and_spaces_do_not_matter(number, unit):
    size = units.parse_memory(f"{number}{unit}")
    assert size == units.parse_memory(f"  {number} {unit.lower()} ")
    assert size == number * (1024 if "i" in unit else 1000) ** ("KMGT".index(unit[0]) + 1)


@given(st.integers(100, 99_999))
def test_what_is_shown_is_read_back(tenths):
    size = tenths * 10**8
    assert units.parse_memory(units.memory(size)) == size


def test_words_are_listed_as_in_a_sentence():
    assert [units.listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
