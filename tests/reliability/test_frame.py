"""The campaign's own frame: what it chooses, and the table that it writes."""

from __future__ import annotations

import pytest

from .frame import chosen, put_table

HUNDRED = [f'case {i}' for i in range(100)]


def test_the_same_tenth_is_chosen_in_order():
    first = chosen(HUNDRED, 'a')
    assert len(first) == 10
    assert first == sorted(first, key=HUNDRED.index)
    assert first == chosen(HUNDRED, 'a') != chosen(HUNDRED, 'b')
    assert chosen(HUNDRED, 'a', 1) == HUNDRED
    assert len(chosen(HUNDRED[:3], 'a')) == 1
    assert chosen([], 'a') == []


def test_table_keeps_rows_of_other_sections(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- begin campaign -->\n<!-- end campaign -->\nafter\n')
    old, first, new = (f'| {row} | 1 | 1 | 1 |' for row in ('3 | c', '1 | a', '3 | d'))
    for row in (old, first, new):
        put_table(page, {int(row[2]): f'{row}\n'})
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ('before', 'after')
    assert [line for line in lines if line in (old, first, new)] == [first, new]
    page.write_text('a page without a place for it\n')
    with pytest.raises(pytest.UsageError, match=r'page\.md: the text must have'):
        put_table(page, {})
