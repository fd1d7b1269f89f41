"""Tables as text, and text between markers."""

import pytest

from mmpose_lite.io.markdown import fill_marked, format_table, markdown_table, marked


def test_a_table_reads_well_as_text():
    assert markdown_table(('name', 'ms'), [('a|b', '1.25'), ('c', '–')]).split(
        '\n'
    ) == ['| name |   ms |', '| ---- | ---: |', r'| a\|b | 1.25 |', '| c    |    – |']


def test_a_table_may_be_as_short_as_its_cells():
    table = markdown_table(('name', 'ms'), [('long name', '1')], aligned=False)
    assert table == '| name | ms |\n|---|---|\n| long name | 1 |'


def test_every_row_has_a_cell_for_every_column():
    with pytest.raises(ValueError, match=r"must have 2 cells, got \['c'\]"):
        markdown_table(('a', 'b'), [('c',)])


def test_two_columns_are_aligned():
    lines = format_table({'a': '1', 'long name': '12.5 M'}).splitlines()
    assert lines[1:3] == ['a         |      1', 'long name | 12.5 M']
    assert {len(line) for line in lines} == {len(lines[1])}


def test_only_what_is_between_the_markers_changes():
    text = 'a\n<!-- begin x -->\nold\n<!-- end x -->\nb <!-- begin y --> <!-- end y -->'
    new = fill_marked(text, 'x', '\nnew\n')
    assert new == text.replace('\nold\n', '\n\nnew\n\n')
    assert marked(new, 'x') == 'new'
    assert fill_marked(new, 'x', 'new') == new


@pytest.mark.parametrize(
    'text',
    [
        '',
        '<!-- begin x -->',
        '<!-- end x --> <!-- begin x -->',
        '<!-- begin x --> <!-- end x --> <!-- end x -->',
    ],
)
def test_markers_must_be_a_pair(text):
    with pytest.raises(ValueError, match='must have <!-- begin x --> once and then'):
        marked(text, 'x')
