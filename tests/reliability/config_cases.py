"""Good arguments of every registered class, and what is wrong with bad ones.

A bad case is what differs from the good arguments and what its message must show: the
argument as users write it, and the value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from rows import hrnet_extra as extra
from rows import hrnet_stage as stage
from torch import nn

NAN, INF = math.nan, math.inf

COCO = dict(from_file='configs/_base_/datasets/coco.py')
TINY = dict(num_modules=(1,), channels=((16, 32),), num_blocks=1)
CODEC = dict(type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=2)
SPACE = dict(
    num_blocks=((1,), (1, 1)),
    channels=((4,), (4, 6)),
    stem_channels=(3, 4),
    head_channels=6,
    expand=2,
    tokens=5,
)
# Places of SPACE: out_channels and stride of the blocks, in block order.
PLACES = ((4, 1), (4, 1), (4, 1), (6, 2), (4, 1), (6, 1), (6, 1))
BLOCK = [[3, 5], [2, 2], True, 0]


def blocks(index: int | None = None, **changes: Any) -> list[list]:
    """A searched architecture of SPACE, with one entry changed by name."""
    entries = [[out, 1, stride, *BLOCK] for out, stride in PLACES]
    names = ('out', 'repeats', 'stride', 'kernels', 'channels', 'expands', 'tokens')
    for name, value in changes.items():
        entries[index or 0][names.index(name)] = value
    return entries


def lacking(given: dict[str, Any], key: str) -> dict[str, Any]:
    """Without one key."""
    return {name: value for name, value in given.items() if name != key}


BACKBONE = dict(type='mmpose_lite.HRNASNet', space=SPACE)
HEAD = dict(
    type='HeatmapHead',
    in_channels=6,
    out_channels=3,
    deconv_out_channels=None,
    decoder=CODEC,
)
RESOURCE = dict(input_size=(48, 64))
GRAPH = dict(graph_depth=1, joint_mask='skeleton', metainfo=COCO, out_channels=17)

GOOD: dict[str, dict[str, Any]] = {
    'LiteHRNet': dict(arch=dict(TINY, unit='naive')),
    'XHRNet': dict(arch=dict(TINY, unit='sequential'), max_size=(8, 8)),
    'HRNASNet': dict(space=SPACE),
    'HRNetTrunk': dict(extra=extra(), num_stages=2),
    'RawImage': {},
    'PSAHRNet': dict(extra=extra()),
    'PSAResNet': dict(depth=18, stem_channels=8, base_channels=8),
    'PolarizedSelfAttention': dict(in_channels=16),
    'TokenPoseHead': dict(
        in_channels=6,
        out_channels=5,
        in_featuremap_size=(12, 16),
        heatmap_size=(12, 16),
        patch_size=(3, 4),
        embed_dims=16,
        depths=(2,),
        num_heads=2,
        decoder=CODEC,
    ),
    'SearchablePoseEstimator': dict(resource=RESOURCE, backbone=BACKBONE, head=HEAD),
    'RampedAverage': dict(model=nn.Linear(1, 1)),
    'AtomicCheckpointHook': dict(interval=1),
    'BNRecalibrationHook': {},
    'CheckFitHook': {},
    'DataGuardHook': {},
    'EpochSeedHook': {},
    'PenaltyHook': {},
    'ShrinkHook': {},
}

Case = tuple[dict[str, Any], str, str]
"""Changes, name and value that the message must show."""


def wrong(
    make: Callable[..., dict] = dict, before: str = '', /, **values: Any
) -> list[Case]:
    """Values that the message must show as they are; ``make`` puts them into place."""
    return [
        (make(**{name: value}), f'{before}{name}', repr(value))
        for name, given in values.items()
        for value in given
    ]


def rows(make: Callable[..., dict], *cases: tuple[str, Any, str]) -> list[Case]:
    """Cases of name, value and what is shown of it; ``make`` puts them into place."""
    return [(make(**{name: value}), name, shown) for name, value, shown in cases]


def named(argument: str, *cases: tuple[dict[str, Any], str]) -> list[Case]:
    """Cases of one argument: changes, and what the message shows besides its name."""
    return [(changes, argument, shown) for changes, shown in cases]


def by_rule(argument: str, wanted: str) -> list[Case]:
    """What is wrong with any argument of a kind, told by what its rule wants."""
    count = re.match(
        r'(?:None or )?a whole number (?:of at least|from) (-?\d+)', wanted
    )
    if count:
        least = int(count[1])
        values = (least - 1, float(least + 1), '3', True, [2])
        values += (-2,) if 'one of (-1,)' in wanted else ()
    elif wanted == 'True or False':
        values = ('yes', 1, None)
    elif wanted == 'a number of at least 0':
        values = (-1, '1', NAN, INF, None)
    elif wanted.endswith("norm of maps such as dict(type='BN')"):
        return NORMS
    elif 'a batch norm such as' in wanted:
        return [*NORMS, *BATCH_NORMS]
    elif 'an initialisation such as' in wanted:
        return INITS
    elif 'a convolution such as' in wanted:
        return CONVS
    else:
        return []
    return wrong(**{argument: values})


def arch(**changes: Any) -> dict[str, Any]:
    """An arch of one's own, of the naive unit."""
    return dict(arch={**TINY, 'unit': 'naive', **changes})


def stages(**changes: Any) -> dict[str, Any]:
    return dict(extra=extra(**changes))


def stage2(**changes: Any) -> dict[str, Any]:
    return stages(stage2=stage(2, **changes))


def space(**changes: Any) -> dict[str, Any]:
    return dict(space={**SPACE, **changes})


def block3(**changes: Any) -> dict[str, Any]:
    return dict(arch=blocks(3, **changes))


def entry3(entry: Any) -> dict[str, Any]:
    return dict(arch=[*blocks()[:3], entry, *blocks()[4:]])


def sparse(**changes: Any) -> dict[str, Any]:
    return dict(sparse_cfg={**TOKENS, **changes})


def resource(**changes: Any) -> dict[str, Any]:
    return dict(resource={**RESOURCE, **changes})


def layer(argument: str, *cases: tuple[Any, str]) -> list[Case]:
    """Configs of a layer: the config, and what the message shows of it."""
    return [({argument: cfg}, argument, shown) for cfg, shown in cases]


NORMS: list[Case] = layer(
    'norm_cfg',
    ('BN', "'BN'"),
    ({}, '{}'),
    (dict(type='NB'), "'NB'"),
    (dict(type='LN'), "'LN'"),
    (dict(type='BN1d'), "'BN1d'"),
    (dict(type='BN', esp=1e-5), "'esp': 1e-05"),
    (dict(type='BN', eps=-1), "'eps': -1"),
    (dict(type='BN', momentum='fast'), "'fast'"),
    (dict(type='BN', momentum=2), "'momentum': 2"),
    (dict(type='GN'), "'GN'"),
    (dict(type='GN', num_groups=7), "'num_groups': 7"),
    (dict(type='GN', num_groups=0), "'num_groups': 0"),
)
BATCH_NORMS: list[Case] = layer(
    'norm_cfg',
    (dict(type='GN', num_groups=2), "'GN'"),
    (dict(type='IN'), "'IN'"),
    (dict(type='BN', affine=False), "'affine': False"),
    (dict(type='BN', track_running_stats=False), "'track_running_stats': F"),
)
INITS: list[Case] = layer(
    'init_cfg',
    ('Normal', "'Normal'"),
    (dict(type='Nrmal'), "'Nrmal'"),
    (dict(std=0.1), "'std': 0.1"),
    (dict(type='Normal', layer='Conv2d', sdt=1), "'sdt': 1"),
    ([dict(type='Normal', layer='Conv2d', std='a')], "'std': 'a'"),
    (dict(type='Pretrained', path='a.pth'), "'path'"),
)
CONVS: list[Case] = layer(
    'conv_cfg',
    ('Conv2d', "'Conv2d'"),
    (dict(type='Conv7d'), "'Conv7d'"),
    (dict(type='Conv1d'), "'Conv1d'"),
)
HR: list[Case] = [
    *wrong(frozen_stages=(2, 'all'), arch=('17', 18)),
    (dict(arch={}), 'arch', 'lacks'),
    (arch(unit='none'), "arch['unit']", "'none'"),
    (arch(depth=3), 'arch', "'depth': 3"),
    (arch(num_modules=(1, 1), channels=((16, 32), (16,))), 'channels', '[2, 1]'),
    *wrong(
        arch,
        unit=(['naive'],),
        num_modules=(3, (0,), '1'),
        channels=(16, (16, 32)),
        num_blocks=(0, 1.5),
        stem_channels=(31, -2),
    ),
    *rows(
        arch,
        ('num_modules', (1, 2), '2'),
        ('channels', ((16, 31),), '31'),
        ('channels', ((16, '32'),), "'32'"),
        ('channels', ((),), '[0]'),
    ),
]
HRNET: list[Case] = [
    *wrong(frozen_stages=(5,), extra=(None,)),
    (dict(extra=lacking(extra(), 'stage2')), 'extra', 'stage2'),
    (stages(stgae3=stage(3)), 'extra', 'stgae3'),
    (stages(stage2=3), "extra['stage2']", '3'),
    (stages(upsample=dict(mode='cubic')), "extra['upsample']", "'cubic'"),
    (stages(stage2=lacking(stage(2), 'block')), 'extra', "['block']"),
    (stages(stage1=stage(2, 'BOTTLENECK')), 'num_branches', '2'),
    *wrong(
        stage2,
        num_modules=(0,),
        num_branches=(5,),
        block=('BASCI',),
        num_blocks=((1,),),
        num_channels=((8,),),
        num_chanels=((8, 16),),
        multiscale_output=('no',),
    ),
    *rows(
        stage2,
        ('num_blocks', (1, 'a'), "'a'"),
        ('num_channels', (8, -8), '-8'),
    ),
]
ATTENTION: list[Case] = wrong(layout=('serial', None), variant=('art', 1))
TOKENS = dict(mode='mask', layers=(0,))
FOUR_WIDE = {f'stage{i}': stage(i, num_channels=(4, 8, 16, 32)[:i]) for i in (2, 3, 4)}

BAD: dict[str, list[Case]] = {
    'LiteHRNet': [
        *HR,
        (arch(unit='ccw', channels=((4, 4),)), 'channels', '[2, 2]'),
        (arch(unit='ccw', channels=((4, 32),)), 'channels', '2'),
    ],
    'XHRNet': [
        *HR,
        *wrong(max_size=(8, (8,), (8, 0), '88')),
        (dict(max_size=(8, 7.5)), 'max_size', '7.5'),
    ],
    'HRNASNet': [
        *wrong(space=('huge', '', {}, 3)),
        *named(
            'space',
            (dict(space=dict(base='huge')), "'huge'"),
            (dict(space=dict(tokens=3)), "'base'"),
            (space(num_blocks=(), channels=()), '()'),
            (space(num_blocks=((1, 1, 1),), channels=((8, 8, 8),)), '(8, 8, 8)'),
            (space(num_blocks=((),), channels=((),)), '()'),
        ),
        *wrong(
            space,
            num_blocks=(3,),
            stem_channels=((3,), (3, 0)),
            head_channels=(0, 2.5),
            expand=(0, 0.01, '4', NAN, INF, True),
            kernels=(3, (), (3, -1), (3, 4), (3, 3)),
            transformer=('some',),
            tokens=(0,),
        ),
        *rows(
            space,
            ('num_blocks', ((1,), (1, 0)), '0'),
            ('num_blocks', ((1,), (1, True)), 'True'),
            ('channels', ((4,), (4, 6, 8)), '(4, 6, 8)'),
            ('channels', ((4,), (4, '6')), "'6'"),
            ('kernels', (3, True), 'True'),
            ('kernel', (3,), "'kernel': (3,)"),
        ),
        (dict(arch=3), 'arch', 'int'),
        (dict(arch=blocks()[:-1]), 'arch', '6'),
        (dict(arch=dict(blocks=3)), 'arch', '3'),
        (dict(arch=dict(bocks=blocks())), 'arch', "'bocks'"),
        (dict(arch=dict(blocks=blocks(), type='Net')), 'arch', "'Net'"),
        (dict(arch=dict(blocks=blocks(), input_size=(0, 1))), 'input_size', '(0, 1)'),
        (dict(arch=dict(blocks=blocks(), space='mini')), 'space', "'mini'"),
        *named(
            'arch[3]',
            (block3(out=5), '5'),
            (block3(stride=1), '1'),
            (block3(repeats=2), '2'),
            (block3(expands=False), 'False'),
            (block3(kernels=3), '3'),
            (block3(kernels=[3, -5]), '-5'),
            (block3(kernels=[3, 5, 7]), '7'),
            (block3(kernels=[9, 5]), '9'),
            (block3(kernels=[4, 5]), '4'),
            (block3(kernels=[3, 3]), '[3, 3]'),
            (block3(kernels=[3]), '[3]'),
            (block3(channels=[2, 9]), '9'),
            (block3(channels=[2, 0]), '0'),
            (block3(channels=[2, 1.5]), '1.5'),
            (block3(channels=[2, True]), 'True'),
            (block3(tokens=6), '6'),
            (block3(tokens=-1), '-1'),
            (block3(tokens='few'), "'few'"),
            (entry3([]), '[]'),
            (entry3(6), '6'),
            (entry3(None), 'None'),
            (entry3(blocks()[3][:5]), '6'),
            (entry3([*blocks()[3], 1]), '1]'),
        ),
    ],
    'HRNetTrunk': [
        *HRNET,
        *wrong(num_stages=(4,)),
        (dict(num_stages=1, frozen_stages=2), 'frozen_stages', '2'),
    ],
    'RawImage': [],
    'PSAHRNet': [
        *HRNET,
        *ATTENTION,
        (stages(stage3=stage(3, num_channels=(4, 16, 32))), 'widths', '(4,'),
        (stages(stage3=stage(1)), 'num_branches', '1'),
        (stage2(num_channels=(9, 16)), 'num_channels', '9'),
        (dict(stages(**FOUR_WIDE), layout='sequential'), 'num_channels', '4'),
    ],
    'PSAResNet': [
        *ATTENTION,
        *wrong(depth=(19, '18'), base_channels=(9,), num_stages=(5,)),
        *wrong(expansion=(0, 2), strides=((1, 2),), dilations=((1, 1, 1), 2)),
        *wrong(out_indices=((4,), (), 3), style=('tensorflow',), frozen_stages=(5,)),
        (dict(strides=(1, 2, 2, 0)), 'strides', '0'),
        (
            dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(3,)),
            'out_indices',
            '(3,)',
        ),
        (dict(deep_stem=True, stem_channels=1), 'stem_channels', '1'),
    ],
    'PolarizedSelfAttention': [
        *ATTENTION,
        *wrong(in_channels=(15,)),
        (dict(in_channels=6, layout='sequential'), 'in_channels', '6'),
    ],
    'TokenPoseHead': [
        *wrong(
            **{
                name: (12, (12,), (12, 0), (12, 16.0), '12')
                for name in ('in_featuremap_size', 'heatmap_size', 'patch_size')
            }
        ),
        *wrong(patch_size=((5, 4), (3, 5)), heatmap_size=((24, 32),), num_heads=(3,)),
        *wrong(embed_dims=(18,), depths=(3, (), (2, 0)), mlp_ratio=(0, 0.01, NAN, '3')),
        *wrong(
            position=('cosine',), qk_scale=('deep',), metainfo=(3,), loss=(None, {})
        ),
        *wrong(joint_mask=('skeleton',), drop_links=([(5, 6)],), sparse_cfg=(3,)),
        *wrong(decoder=('MSRAHeatmap',)),
        (dict(graph_depth=1, depths=(2, 2)), 'graph_depth', '1'),
        *named(
            'joint_mask',
            (dict(graph_depth=1, joint_mask='limb'), "'limb'"),
            (dict(GRAPH, joint_mask='arms'), "'arms'"),
            (dict(GRAPH, joint_mask=3), '3'),
            (dict(GRAPH, out_channels=5), '(17, 17)'),
            (dict(graph_depth=1, joint_mask=[[1] * 4] * 4), '(4, 4)'),
            (dict(graph_depth=1, joint_mask=[[1] * 5] * 4), '(4, 5)'),
            (dict(graph_depth=1, joint_mask=[[1], [1, 1]]), '[[1], [1, 1]]'),
            (dict(graph_depth=1, joint_mask=[[2] * 5] * 5), '2'),
            (dict(graph_depth=1, joint_mask=[['a'] * 5] * 5), "'a'"),
            (dict(graph_depth=1, joint_mask=[[0] * 5] * 5), '0'),
            (dict(graph_depth=1, joint_mask=[[1, 0, 0, 0, 0]] * 5), '0'),
        ),
        (dict(metainfo=COCO), 'out_channels', '5'),
        (dict(GRAPH, metainfo=dict(from_file='none.py')), 'metainfo', 'none.py'),
        (dict(GRAPH, metainfo=dict(dataset_name='a')), 'metainfo', "'a'"),
        (dict(GRAPH, drop_links=[(0, 16)]), 'drop_links', '[0, 16]'),
        (dict(GRAPH, drop_links=[3]), 'drop_links', '[3]'),
        (dict(loss=dict(type='KeypointLoss')), 'loss', "'KeypointLoss'"),
        (dict(decoder=dict(CODEC, type='Heatmap')), 'decoder', "'Heatmap'"),
        *wrong(
            sparse,
            'sparse_cfg ',
            mode=('fast', 3),
            keep_ratio=(0, 1.5, 'half'),
            layers=(0, (2,), (1, 0), (0, 0), ('0',)),
            reselect=('no',),
            block=(0, 2.5),
            queries=('all',),
            mask_eps=(NAN, '0'),
        ),
        (sparse(keep=0.5), 'sparse_cfg', "'keep'"),
        (sparse(mode='block', block=3), 'sparse_cfg block', '3'),
        (sparse(mask_eps=-1), 'mask_eps', '-1'),
        (sparse(mode='token', reselect='masked'), 'sparse_cfg', "'masked'"),
    ],
    'SearchablePoseEstimator': [
        *wrong(resource=(3, {}), backbone=(None,), head=(None,), neck=('none',)),
        *wrong(test_cfg=('flip',), train_cfg=(3,), metainfo=('coco',)),
        (resource(budget=3), 'resource', "'budget': 3"),
        (dict(resource=dict(input_size=48)), "resource['input_size']", '48'),
        (dict(resource=dict(input_size=(48, 0))), "resource['input_size']", '(48, 0)'),
        (resource(cost='flops'), "resource['cost']", "'flops'"),
        (resource(cost='no.json'), 'latency table', 'no.json'),
        *named(
            "resource['target']",
            (resource(target=3), '3'),
            (resource(target=dict(flops=3)), "'flops': 3"),
            (resource(target=dict(latency_ms=3)), 'latency_ms'),
            (resource(target=dict(macs=0)), '0'),
            (resource(target=dict(macs='2e7')), "'2e7'"),
            (resource(target=dict(macs=NAN)), 'nan'),
        ),
        (dict(backbone=dict(type='HRNASet')), 'backbone', "'HRNASet'"),
        (dict(backbone=dict(BACKBONE, space='huge')), 'space', "'huge'"),
        (dict(backbone=dict(type='mmpose_lite.RawImage')), 'backbone', 'RawImage'),
        (dict(head=dict(HEAD, type='HeatHead')), 'head', "'HeatHead'"),
        (dict(head=dict(HEAD, in_channels=7)), 'head in_channels', '7'),
        (dict(neck=dict(type='Nck')), 'neck', "'Nck'"),
        (dict(data_preprocessor=dict(mean=[1])), 'data_preprocessor', "'mean': [1]"),
    ],
    'RampedAverage': [
        *wrong(model=(3,), momentum=(0, 1, -0.5, '0.1', NAN, True), device=('gpu',)),
    ],
    'AtomicCheckpointHook': [
        *wrong(out_dir=(3,)),
        *wrong(save_best=(3, ['auto', 'AP'], 'my_score'), greater_keys=(3,)),
        *wrong(less_keys=([3],), filename_tmpl=('last.pth',)),
        *wrong(published_keys=(['a', 'a'], 3)),
        (dict(save_best=['AP', 'AP'], rule='greater'), 'save_best', "['AP', 'AP']"),
        (dict(save_best='AP', rule='more'), 'rule', "'more'"),
        (dict(save_best='AP', rule=['less', 'less']), 'rule', "['less', 'less']"),
        (dict(backend_args=dict(backend='petrel')), 'backend_args', 'petrel'),
        (dict(file_client_args=dict(backend='disk')), 'file_client_args', 'disk'),
    ],
    'BNRecalibrationHook': [],
    'CheckFitHook': [],
    'DataGuardHook': [
        *wrong(tolerance=(-0.1, 1.5, '1 %', NAN, True)),
    ],
    'EpochSeedHook': [],
    'PenaltyHook': [
        (dict(begin=3, end=1), 'begin', '3'),
    ],
    'ShrinkHook': [
        *wrong(end=(0, 'last')),
        (dict(interval=5, end=3), 'interval', '5'),
        *wrong(min_saving=(-1, 1.5, '1', NAN, None)),
    ],
}
