from recsys.past import layout


def test_every_field_has_a_place_of_its_own():
    fields = [value for name, value in vars(layout).items() if name.isupper() and name not in ("AMOUNTS", "SIZES")]
    assert sorted(fields) == list(range(12))
    assert layout.LASTS == layout.FIRSTS + 1
    assert layout.TOTALS == layout.COUNTS + 1
    assert layout.TOTALS + layout.AMOUNTS == layout.SIZES
