"""The campaign's own frame: what it chooses, and the table that it writes."""

from __future__ import annotations

import pytest

from .frame import Campaign, chosen, put_table

HUNDRED = [f'case {i}' for i in range(100)]


def test_a_tenth_is_chosen_by_seed_in_order():
    first = chosen(HUNDRED, 'a', full=False, seed='1')
    assert len(first) == 10
    assert first == sorted(first, key=HUNDRED.index)
    assert first == chosen(HUNDRED, 'a', full=False, seed='1')
    assert first != chosen(HUNDRED, 'a', full=False, seed='2')
    assert first != chosen(HUNDRED, 'b', full=False, seed='1')
    assert chosen(HUNDRED, 'a', full=True, seed='1') == HUNDRED
    assert len(chosen(HUNDRED[:3], 'a', full=False, seed='1')) == 1
    assert chosen([], 'a', full=False, seed='1') == []


def test_every_case_has_its_turn():
    seen = {
        c for seed in range(200) for c in chosen(HUNDRED, 'a', full=False, seed=seed)
    }
    assert seen == set(HUNDRED)


def test_loops_count_what_there_is_tried_and_survived():
    campaign = Campaign('a', full=False, seed='1')
    for _ in campaign.choose(HUNDRED, 'one'):
        campaign.survived()
    campaign.choose(HUNDRED, 'two')
    assert campaign.counts == dict(cases=200, tried=20, survived=10)


def test_table_keeps_rows_of_other_sections(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- campaign -->\n<!-- /campaign -->\nafter\n')
    put_table(page, {3: '| 3 | c | 1 | 1 | 1 |\n'})
    put_table(page, {1: '| 1 | a | 2 | 2 | 2 |\n'})
    put_table(page, {3: '| 3 | c | 4 | 4 | 3 |\n'})
    lines = page.read_text().splitlines()
    assert lines[0] == 'before'
    assert lines[-1] == 'after'
    assert [line for line in lines if line[:3] in ('| 1', '| 3')] == [
        '| 1 | a | 2 | 2 | 2 |',
        '| 3 | c | 4 | 4 | 3 |',
    ]
    page.write_text('a page without a place for it\n')
    with pytest.raises(pytest.UsageError, match=r'page\.md has no lines'):
        put_table(page, {})
