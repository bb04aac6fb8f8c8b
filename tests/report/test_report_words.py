from segfit.report.words import ordinal


def test_ordinals() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 10, 11, 12, 13, 14, 21, 22, 101, 111, 113)] == [
        "1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "14th", "21st", "22nd", "101st", "111th", "113th",
    ]  # fmt: skip
