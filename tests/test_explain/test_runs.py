from mmpose_lite.explain import format_table


def test_tables_are_aligned():
    lines = format_table({'a': '1', 'long name': '12.5 M'}).splitlines()
    assert lines[1:3] == ['a         |      1', 'long name | 12.5 M']
    assert {len(line) for line in lines} == {len(lines[1])}
