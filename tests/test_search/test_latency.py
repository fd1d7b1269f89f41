"""Latency tables: what they mean, what they refuse, and how they are measured."""

import json
import math
from dataclasses import replace

import pytest

from mmpose_lite.analysis import timing
from mmpose_lite.cli import main
from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.models.backbones.hrnas_arch import (
    BlockArch,
    SearchSpace,
    full_arch,
    places,
    resolve_space,
)
from mmpose_lite.search import LatencyCost, MacsCost, ResourcePenalty
from mmpose_lite.search.latency import LatencySettings, check, measure
from mmpose_lite.search.latency.cost import (
    TOKENS,
    make_table,
    place_entry,
    rising,
    round_up,
)
from mmpose_lite.search.latency.measure import DEAD, Part, part_groups, thin

SLOW = pytest.mark.slow
SPACE = SearchSpace(
    ((1,), (1, 1)),
    ((6,), (6, 8)),
    stem_channels=(4, 6),
    head_channels=5,
    expand=2,
    kernels=(3, 5),
    transformer='residual',
    tokens=8,
)
SMALL, LARGE = (32, 32), (64, 64)


def entry(place, block, pixels):
    """Costs that rise with kernel size, width and pixels."""
    width = block.channels[0]
    parts = {
        k: {n: k * (1 + n / width) * pixels / 1e3 for n in (width // 4, width // 2)}
        # Full width is as fast as a little less would be.
        | {width: k * 1.4 * pixels / 1e3}
        for k in block.kernels
    }
    if block.tokens:
        parts[TOKENS] = {2: 5.0, 8: 11.0}
    return place_entry(place, 0.5 + place.level, parts)


def size_row(size, scale=1.0):
    full = dict(zip(places(SPACE), full_arch(SPACE), strict=True))
    pixels = size[0] * size[1]
    rows = [entry(place, block, pixels) for place, block in full.items()]
    return dict(image_size=size, stem=pixels / 1e3, scale=scale, places=rows)


@pytest.fixture
def table():
    header = dict(engine='pytorch', space_name='tiny', threads=1)
    return make_table(header, SPACE, [size_row(SMALL), size_row(LARGE)])


@pytest.fixture
def cost(table):
    return LatencyCost(table, SMALL)


PLACE, FULL = next(zip(places(SPACE), full_arch(SPACE), strict=True))
WIDTH = FULL.channels[0]


def test_rising_is_the_closest_sequence_that_never_falls():
    assert rising([3, 1, 2, 5, 4]) == [2, 2, 2, 4.5, 4.5]
    assert rising([-1, 0.5, 2]) == [0, 0.5, 2]
    assert rising([]) == []


def test_measured_widths_are_met_and_others_lie_between(cost):
    unit = 3 * 32 * 32 / 1e3
    assert cost.unit == 'ms'
    assert cost.op(PLACE, 3, 0) == 0
    assert cost.op(PLACE, 3, 1) == cost.op(PLACE, 3, WIDTH // 4)
    assert cost.op(PLACE, 3, WIDTH // 4) == pytest.approx(1.25 * unit)
    # 1.5 at half and 1.4 at full width: both become their mean.
    assert cost.op(PLACE, 3, WIDTH) == pytest.approx(1.45 * unit)
    assert cost.op(PLACE, 3, WIDTH // 2) == pytest.approx(1.45 * unit)
    # A third of the way from a quarter, 3, to half, 6.
    assert cost.op(PLACE, 3, 4) == pytest.approx((1.25 + 0.2 / 3) * unit)


def test_tokens_are_interpolated(cost):
    assert cost.transformer(PLACE, 0) == 0
    assert cost.transformer(PLACE, 2) == cost.transformer(PLACE, 1) == 5
    assert cost.transformer(PLACE, 5) == pytest.approx(8)
    assert cost.token(PLACE, 8, 4) == pytest.approx(7 / 4)
    assert cost.token(PLACE, 8, 0) == cost.token(PLACE, 8, 1) == 5


def test_sizes_are_interpolated_over_pixels(table):
    # 32x64 pixels lie a third of the way from 32x32 to 64x64.
    between = LatencyCost(table, (64, 32))
    small, large = LatencyCost(table, SMALL), LatencyCost(table, LARGE)
    for ask in (
        lambda c: c.op(PLACE, 5, 7),
        lambda c: c.stem(SPACE),
        lambda c: c.shortcut(PLACE),
        lambda c: c.transformer(PLACE, 3),
        lambda c: c.network(SPACE, full_arch(SPACE)),
    ):
        assert ask(between) == pytest.approx(ask(small) * 2 / 3 + ask(large) / 3)
    # As many pixels in another shape are a measured size.
    assert LatencyCost(table, (128, 32)).stem(SPACE) == large.stem(SPACE)


def test_factor_applies_to_what_is_inside_blocks_only():
    header = dict(engine='pytorch')
    plain, doubled = (
        LatencyCost(make_table(header, SPACE, [size_row(SMALL, scale)]), SMALL)
        for scale in (1.0, 2.0)
    )
    assert doubled.op(PLACE, 3, 5) == 2 * plain.op(PLACE, 3, 5) > 0
    assert doubled.transformer(PLACE, 3) == 2 * plain.transformer(PLACE, 3) > 0
    assert doubled.stem(SPACE) == plain.stem(SPACE)
    assert doubled.shortcut(PLACE) == plain.shortcut(PLACE)


def test_network_is_the_sum_and_never_falls_with_width(cost):
    arch = [BlockArch((), ())] * len(full_arch(SPACE))
    total = cost.network(SPACE, arch)
    shortcuts = sum(map(cost.shortcut, places(SPACE)))
    assert total == pytest.approx(cost.stem(SPACE) + shortcuts)
    for index, (place, full) in enumerate(
        zip(places(SPACE), full_arch(SPACE), strict=True)
    ):
        for count in range(1, full.channels[0] + 1):
            arch[index] = BlockArch((5,), (count,))
            grown = cost.network(SPACE, arch)
            assert grown >= total
            assert cost.channel(place, 5, count) > 0
            total = grown


def test_shares_of_channels_add_up_and_make_a_penalty(cost):
    for count in (1, 3, WIDTH):
        share = cost.channel(PLACE, 3, count)
        assert count * share == pytest.approx(cost.op(PLACE, 3, count))
    assert cost.channel(PLACE, 3, 0) == cost.channel(PLACE, 3, 1)
    net = HRNASNet(space=vars(SPACE))
    # With importances of 1 a penalty of fair shares is the number of all of them.
    count = sum(sum(block.channels) + block.tokens for block in full_arch(SPACE))
    assert ResourcePenalty(net, cost)(net).item() == pytest.approx(count, rel=1e-4)


def test_json_round_trip(table, tmp_path):
    path = tmp_path / 'table.json'
    path.write_text(json.dumps(table))
    read = LatencyCost.from_file(path, SMALL, engine='pytorch')
    arch = thin(SPACE, 0.5, 0, SMALL)
    assert read.network(SPACE, arch) == LatencyCost(table, SMALL).network(SPACE, arch)
    assert read.header['threads'] == 1
    assert resolve_space(read.header['space']) == SPACE


def test_wrong_files_are_refused(table, tmp_path):
    with pytest.raises(ValueError, match=r'no latency table .*none\.json.*--out'):
        LatencyCost.from_file(tmp_path / 'none.json', SMALL)
    path = tmp_path / 'bad.json'
    path.write_text('{')
    with pytest.raises(ValueError, match=r'bad\.json is no JSON'):
        LatencyCost.from_file(path, SMALL)
    with pytest.raises(ValueError, match=r'no latency table \(type'):
        LatencyCost([], SMALL)
    del table['sizes'][0]['places'][0]['ops']
    with pytest.raises(ValueError, match=r"damaged latency table \(KeyError\('ops'\)"):
        LatencyCost(table, SMALL)


def test_points_out_of_order_are_refused(table):
    table['sizes'][0]['places'][0]['ops']['3']['counts'].reverse()
    with pytest.raises(ValueError, match='rising positive counts'):
        LatencyCost(table, SMALL)


def test_another_engine_or_size_is_refused(table):
    with pytest.raises(
        ValueError, match=r"'pytorch', not 'openvino'; run mmpose-lite latency .*"
    ):
        LatencyCost(table, SMALL, engine='openvino')
    with pytest.raises(ValueError, match=r'got 16x32.*--input-size 16 32'):
        LatencyCost(table, (16, 32))
    with pytest.raises(ValueError, match=r'got 96x64'):
        LatencyCost(table, (96, 64))


def test_what_is_missing_is_named(cost):
    missing = replace(PLACE, level=2)
    with pytest.raises(ValueError, match=r'no Place\(.*level=2\).*run mmpose-lite'):
        cost.op(missing, 3, 1)
    with pytest.raises(ValueError, match=r'no 7x7 kernel at Place.*only \[3, 5\]'):
        cost.op(PLACE, 7, 1)
    with pytest.raises(ValueError, match=rf'3x3 kernel at Place.*from 0 to {WIDTH}'):
        cost.op(PLACE, 3, WIDTH + 1)
    last = list(places(SPACE))[-1]
    with pytest.raises(ValueError, match=r'no transformer at Place.*--transformer'):
        cost.transformer(last, 1)
    with pytest.raises(ValueError, match=r'another space: .*run .*--space'):
        cost.network(replace(SPACE, head_channels=6), full_arch(SPACE))
    # What each block may hold may differ as long as the table knows it.
    few = replace(SPACE, transformer=None, kernels=(3,), expand=1)
    assert cost.network(few, full_arch(few)) > 0


@pytest.mark.parametrize('fraction', [0.3, 0.6, 1.0])
def test_thinned_networks_have_the_macs_asked_for(fraction):
    cost, full = MacsCost(SMALL), full_arch(SPACE)
    arch = thin(SPACE, fraction, 1, SMALL)
    share = cost.network(SPACE, arch) / cost.network(SPACE, full)
    assert share == pytest.approx(fraction, abs=0.03)  # the space is coarse
    assert arch == thin(SPACE, fraction, 1, SMALL)
    assert (arch == tuple(full)) == (fraction == 1.0)
    assert fraction == 1.0 or arch != thin(SPACE, fraction, 2, SMALL)


def test_widths_cost_as_much_as_the_next_multiple():
    """5 costs what 8 does, but 13 no more than the widest there is, 14."""
    assert [round_up(n, 4, 14) for n in (0, 1, 4, 5, 8, 13, 14)] == [
        *(0, 4, 4, 8, 8, 14, 14),
    ]
    header = dict(engine='onnxruntime', multiple=4)
    cost = LatencyCost(make_table(header, SPACE, [size_row(SMALL)]), SMALL)
    assert cost.multiple == 4
    assert cost.op(PLACE, 3, 5) == cost.op(PLACE, 3, 8) > cost.op(PLACE, 3, 4) > 0
    assert cost.op(PLACE, 3, 0) == 0
    with pytest.raises(ValueError, match='from 0 to 12'):
        cost.op(PLACE, 3, 13)
    arch = thin(SPACE, 0.5, 0, SMALL, multiple=4)
    assert {n % 4 for block in arch for n in block.channels} == {0}
    settings = LatencySettings(SPACE, (SMALL,), multiple=4)
    parts = [part for group in part_groups(settings) for part in group]
    assert {n % 4 for part in parts for n in part.block.channels} == {0}


def test_every_part_is_measured_once():
    settings = LatencySettings(SPACE, (SMALL,), widths=(0.1, 0.12, 1))
    parts = [part for group in part_groups(settings) for part in group]
    assert len(parts) == len(set(parts))
    for place, full in zip(places(SPACE), full_arch(SPACE), strict=True):
        assert Part(place, DEAD) in parts
        for kernel, width in zip(full.kernels, full.channels, strict=True):
            assert Part(place, BlockArch((kernel,), (width,))) in parts
        if full.tokens:
            assert Part(place, BlockArch((), (), full.tokens)) in parts


def test_table_from_exact_times_predicts_exactly():
    """If a network takes the sum of its parts, the table says so."""
    truth = LatencyCost(
        make_table(dict(engine='pytorch'), SPACE, [size_row(SMALL)]), SMALL
    )
    widths = (1 / 4, 1 / 2, 1)
    settings = LatencySettings(SPACE, (SMALL,), widths=widths, calibration=3)
    call = 0.3  # ms that any call takes
    wanted = 1.25  # how much slower blocks are in networks

    def fake(settings, size, groups, report, title):
        bare = truth.network(SPACE, [DEAD] * len(full_arch(SPACE)))
        return {
            s: call + truth.block(s.place, s.block)
            if isinstance(s, Part)
            else bare + wanted * (truth.network(SPACE, s.arch) - bare)
            for group in groups
            for s in group
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, 'time_subjects', fake)
        patch.setattr(check, 'time_subjects', fake)
        table = measure.measure_latency(settings)
        found = check.verify_latency(settings, table, 5)
    assert table['sizes'][0]['scale'] == pytest.approx(wanted, rel=0.02)
    assert found[0].median_error < 0.03
    assert found[0].spearman == pytest.approx(1)


def test_rank_correlation():
    assert check.rank_correlation([1, 2, 3], [10, 20, 25]) == pytest.approx(1)
    assert check.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # Two equal values share the ranks 0 and 1.
    assert check.rank_correlation([5, 5, 7], [1, 2, 3]) == pytest.approx(3**0.5 / 2)
    assert math.isnan(check.rank_correlation([1, 1], [1, 2]))


def test_settings_are_checked(monkeypatch):
    with pytest.raises(ValueError, match=r'rounds must be .* at least 1, got 0'):
        LatencySettings(SPACE, (SMALL,), rounds=0)
    with pytest.raises(ValueError, match=r'widths must .* got \(0.5,\)'):
        LatencySettings(SPACE, (SMALL,), widths=(0.5,))
    with pytest.raises(ValueError, match=r"engine must be one of .*, got 'ncnn'"):
        LatencySettings(SPACE, (SMALL,), engine='ncnn')
    assert LatencySettings(SPACE, (SMALL,), engine='onnxruntime').multiple == 4
    monkeypatch.setattr(timing, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='pip install openvino onnx'):
        LatencySettings(SPACE, (SMALL,), engine='openvino')


def test_spaces_are_read_by_name_and_from_configs(tmp_path):
    assert measure.read_space('mini')[1] == (128, 96)
    space, size = measure.read_space('keypoint', 'all')
    assert (space.transformer, size) == ('all', (256, 192))
    assert measure.read_space(tiny_config(tmp_path)) == (SPACE, (64, 32))
    with pytest.raises(ValueError, match=r"transformer must be left to .*, got 'all'"):
        measure.read_space(tiny_config(tmp_path), 'all')
    path = tmp_path / 'sizeless.py'
    path.write_text("model = dict(backbone=dict(type='HRNASNet', space='mini'))\n")
    with pytest.raises(ValueError, match='has no input size'):
        measure.read_space(str(path))


def tiny_config(folder):
    """Config of the tiny space."""
    config = folder / 'tiny.py'
    config.write_text(
        f"model = dict(backbone=dict(type='mmpose_lite.HRNASNet', space={vars(SPACE)!r}"
        '))\ncodec = dict(input_size=(32, 64))\n'
    )
    return str(config)


def run_latency(folder, *arguments):
    """Run the verb on the tiny space, as quickly as it can be."""
    quick = ('--rounds', 2, '--calibration', 1, '--widths', 0.5, 1)
    where = ('--space', tiny_config(folder), '--out', folder / 'table.json')
    return main(['latency', *map(str, (*where, *quick, *arguments))])


@pytest.mark.parametrize(
    'engine',
    ['onnxruntime', *(pytest.param(e, marks=SLOW) for e in ('pytorch', 'openvino'))],
)
def test_measured_table_is_one_for_a_search(engine, tmp_path, capsys):
    pytest.importorskip(engine.replace('pytorch', 'torch'))
    assert run_latency(tmp_path, '--engine', engine, '--verify', 3) == 0
    table = json.loads((tmp_path / 'table.json').read_text())
    header = table['header']
    assert header['engine'] == engine
    assert header['rounds'] == 2
    assert header['batch'] == header['threads'] == 1
    assert header['multiple'] == (4 if engine == 'onnxruntime' else 1)
    assert {'cpu', 'date', 'cores', 'load_average'} <= set(header)
    assert {'python', *measure.ENGINES[engine]} <= set(header['versions'])
    assert header['batch_norms'] == ('kept' if engine == 'pytorch' else 'folded')
    (verified,) = table['verification']
    assert verified['image_size'] == [64, 32]
    assert verified['rounds'] == 2
    assert [round(n['fraction'], 1) for n in verified['networks']] == [0.2, 0.6, 1.0]
    cost = LatencyCost.from_file(tmp_path / 'table.json', (64, 32), engine=engine)
    assert cost.network(SPACE, full_arch(SPACE)) > cost.stem(SPACE) >= 0
    last = verified['networks'][-1]
    assert last['predicted'] == pytest.approx(cost.network(SPACE, full_arch(SPACE)))
    assert last['measured'] > 0
    printed = capsys.readouterr().out
    assert 'Spearman' in printed
    assert '### 64x32' in printed
    files = sorted(p.name for p in tmp_path.iterdir() if p.is_file())
    assert files == ['table.json', 'tiny.py']
    # The table that is there is verified; nothing is measured anew.
    assert run_latency(tmp_path, '--engine', engine, '--reuse', '--verify', 2) == 0
    again = json.loads((tmp_path / 'table.json').read_text())
    assert len(again.pop('verification')[0]['networks']) == 2
    assert again == {k: v for k, v in table.items() if k != 'verification'}


def test_a_table_of_another_engine_is_not_verified(table):
    settings = LatencySettings(SPACE, (SMALL,), engine='onnxruntime')
    with pytest.raises(ValueError, match="measured with engine 'pytorch'"):
        check.verify_latency(settings, table, 2)


def test_report_says_whether_the_demands_are_met():
    rows = [(n, n / 4, 10 * n, 10.5 * n, 10 / 10.5 - 1) for n in range(1, 5)]
    good = [check.Check(*row) for row in rows]
    found = check.Verification(SMALL, 30, good)
    assert found.median_error == pytest.approx(1 - 10 / 10.5)
    assert ': met' in str(found)
    assert '-4.8%' in str(found)
    bad = [*good[:3], good[3]._replace(predicted=1)]
    assert ': not met' in str(check.Verification(SMALL, 30, bad))
    data = found.as_data()
    assert data['spearman'] == data['spearman_of_macs'] == pytest.approx(1)
    assert [network['macs'] for network in data['networks']] == [1, 2, 3, 4]
    assert (data['image_size'], data['rounds']) == ([32, 32], 30)
