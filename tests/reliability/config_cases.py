"""Good arguments of every registered class, and what is wrong with bad ones.

A bad case is what differs from the good arguments and what its message must show: the
argument as users write it, and the value.
"""

from __future__ import annotations

from typing import Any

from torch import nn

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


def stage(branches: int, block: str = 'BASIC', **changes: Any) -> dict[str, Any]:
    """A stage of an HRNet, as narrow as attention allows."""
    return {
        **dict(
            num_modules=1,
            num_branches=branches,
            block=block,
            num_blocks=(1,) * branches,
            num_channels=tuple(8 * 2**i for i in range(branches)),
        ),
        **changes,
    }


def extra(**changes: Any) -> dict[str, Any]:
    """Stages of an HRNet, some of them changed."""
    stages = {f'stage{i}': stage(i) for i in range(2, 5)}
    return {'stage1': stage(1, 'BOTTLENECK'), **stages, **changes}


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


def arch(**changes: Any) -> dict[str, Any]:
    """An arch of one's own, of the naive unit."""
    return dict(arch={**TINY, 'unit': 'naive', **changes})


NORMS: list[Case] = [
    (dict(norm_cfg='BN'), 'norm_cfg', "'BN'"),
    (dict(norm_cfg={}), 'norm_cfg', '{}'),
    (dict(norm_cfg=dict(type='NB')), 'norm_cfg', "'NB'"),
    (dict(norm_cfg=dict(type='LN')), 'norm_cfg', "'LN'"),
    (dict(norm_cfg=dict(type='BN1d')), 'norm_cfg', "'BN1d'"),
    (dict(norm_cfg=dict(type='BN', esp=1e-5)), 'norm_cfg', "'esp': 1e-05"),
    (dict(norm_cfg=dict(type='BN', eps=-1)), 'norm_cfg', "'eps': -1"),
    (dict(norm_cfg=dict(type='BN', momentum='fast')), 'norm_cfg', "'fast'"),
    (dict(norm_cfg=dict(type='BN', momentum=2)), 'norm_cfg', "'momentum': 2"),
    (dict(norm_cfg=dict(type='GN')), 'norm_cfg', "'GN'"),
    (dict(norm_cfg=dict(type='GN', num_groups=7)), 'norm_cfg', "'num_groups': 7"),
    (dict(norm_cfg=dict(type='GN', num_groups=0)), 'norm_cfg', "'num_groups': 0"),
]
INITS: list[Case] = [
    (dict(init_cfg='Normal'), 'init_cfg', "'Normal'"),
    (dict(init_cfg=dict(type='Nrmal')), 'init_cfg', "'Nrmal'"),
    (dict(init_cfg=dict(std=0.1)), 'init_cfg', "'std': 0.1"),
    (dict(init_cfg=dict(type='Normal', layer='Conv2d', sdt=1)), 'init_cfg', "'sdt': 1"),
    (
        dict(init_cfg=[dict(type='Normal', layer='Conv2d', std='a')]),
        'init_cfg',
        "'std': 'a'",
    ),
    (dict(init_cfg=dict(type='Pretrained', path='a.pth')), 'init_cfg', "'path'"),
]
FLAGS = ('norm_eval', 'with_cp')


def not_flags(*names: str) -> list[Case]:
    """Texts and numbers in place of True and False."""
    values = ('yes', 1, None)
    return [({name: v}, name, repr(v)) for name in names for v in values]


def not_counts(*names: str, least: int = 1) -> list[Case]:
    """Texts, fractions, True and too small a number in place of a count."""
    values = (least - 1, float(least + 1), '3', True, [2])
    return [({name: v}, name, repr(v)) for name in names for v in values]


SHARED: list[Case] = [
    *NORMS,
    *INITS,
    *not_flags(*FLAGS),
    *not_counts('in_channels'),
]
HR: list[Case] = [
    *SHARED,
    *not_flags('with_head'),
    (dict(frozen_stages=2), 'frozen_stages', '2'),
    (dict(frozen_stages=-2), 'frozen_stages', '-2'),
    (dict(frozen_stages='all'), 'frozen_stages', "'all'"),
    (dict(arch='17'), 'arch', "'17'"),
    (dict(arch=18), 'arch', '18'),
    (dict(arch={}), 'arch', 'lacks'),
    (arch(unit='none'), "arch['unit']", "'none'"),
    (arch(unit=['naive']), 'unit', "['naive']"),
    (arch(depth=3), 'arch', "'depth': 3"),
    (arch(num_modules=3), 'num_modules', '3'),
    (arch(num_modules=(1, 2)), 'num_modules', '2'),
    (arch(num_modules=(0,)), 'num_modules', '(0,)'),
    (arch(num_modules='1'), 'num_modules', "'1'"),
    (arch(channels=16), 'channels', '16'),
    (arch(channels=(16, 32)), 'channels', '(16, 32)'),
    (arch(channels=((16, 31),)), 'channels', '31'),
    (arch(channels=((16, '32'),)), 'channels', "'32'"),
    (arch(channels=((),)), 'channels', '[0]'),
    (arch(num_modules=(1, 1), channels=((16, 32), (16,))), 'channels', '[2, 1]'),
    (arch(num_blocks=0), 'num_blocks', '0'),
    (arch(num_blocks=1.5), 'num_blocks', '1.5'),
    (arch(stem_channels=31), 'stem_channels', '31'),
    (arch(stem_channels=-2), 'stem_channels', '-2'),
]
HRNET: list[Case] = [
    *SHARED,
    *not_flags('zero_init_residual'),
    (dict(conv_cfg=dict(type='Conv7d')), 'conv_cfg', "'Conv7d'"),
    (dict(conv_cfg=dict(type='Conv1d')), 'conv_cfg', "'Conv1d'"),
    (dict(conv_cfg='Conv2d'), 'conv_cfg', "'Conv2d'"),
    (dict(frozen_stages=5), 'frozen_stages', '5'),
    (dict(extra=None), 'extra', 'None'),
    (dict(extra=lacking(extra(), 'stage2')), 'extra', 'stage2'),
    (dict(extra=extra(stgae3=stage(3))), 'extra', 'stgae3'),
    (dict(extra=extra(stage2=3)), "extra['stage2']", '3'),
    (dict(extra=extra(upsample=dict(mode='cubic'))), "extra['upsample']", "'cubic'"),
    *(
        (dict(extra=extra(stage2=stage(2, **{key: value}))), key, shown)
        for key, value, shown in (
            ('num_modules', 0, '0'),
            ('num_branches', 5, '5'),
            ('block', 'BASCI', "'BASCI'"),
            ('num_blocks', (1,), '(1,)'),
            ('num_blocks', (1, 'a'), "'a'"),
            ('num_channels', (8,), '(8,)'),
            ('num_channels', (8, -8), '-8'),
            ('num_chanels', (8, 16), '(8, 16)'),
            ('multiscale_output', 'no', "'no'"),
        )
    ),
    (dict(extra=extra(stage2=lacking(stage(2), 'block'))), 'extra', "['block']"),
    (dict(extra=extra(stage1=stage(2, 'BOTTLENECK'))), 'num_branches', '2'),
]
ATTENTION: list[Case] = [
    (dict(layout='serial'), 'layout', "'serial'"),
    (dict(layout=None), 'layout', 'None'),
    (dict(variant='art'), 'variant', "'art'"),
    (dict(variant=1), 'variant', '1'),
]
TOKENS = dict(mode='mask', layers=(0,))

BAD: dict[str, list[Case]] = {
    'LiteHRNet': [
        *HR,
        (arch(unit='ccw', channels=((4, 4),)), 'channels', '[2, 2]'),
        (arch(unit='ccw', channels=((4, 32),)), 'channels', '2'),
    ],
    'XHRNet': [
        *HR,
        (dict(max_size=8), 'max_size', '8'),
        (dict(max_size=(8,)), 'max_size', '(8,)'),
        (dict(max_size=(8, 0)), 'max_size', '(8, 0)'),
        (dict(max_size=(8, 7.5)), 'max_size', '7.5'),
        (dict(max_size='88'), 'max_size', "'88'"),
    ],
    'HRNASNet': [
        *NORMS,
        *INITS,
        *not_flags('norm_eval', 'channels_last'),
        (dict(norm_cfg=dict(type='GN', num_groups=2)), 'norm_cfg', "'GN'"),
        (dict(norm_cfg=dict(type='IN')), 'norm_cfg', "'IN'"),
        (dict(norm_cfg=dict(type='BN', affine=False)), 'norm_cfg', "'affine': False"),
        (
            dict(norm_cfg=dict(type='BN', track_running_stats=False)),
            'norm_cfg',
            "'track_running_stats': False",
        ),
        (dict(space='huge'), 'space', "'huge'"),
        (dict(space=3), 'space', '3'),
        *(
            (dict(space={**SPACE, name: value}), name, shown)
            for name, value, shown in (
                ('num_blocks', ((1,), (1, 0)), '0'),
                ('num_blocks', ((1,), (1, True)), 'True'),
                ('num_blocks', 3, '3'),
                ('channels', ((4,), (4, 6, 8)), '(4, 6, 8)'),
                ('channels', ((4,), (4, '6')), "'6'"),
                ('stem_channels', (3,), '(3,)'),
                ('head_channels', 0, '0'),
                ('expand', 0, '0'),
                ('expand', float('nan'), 'nan'),
                ('expand', float('inf'), 'inf'),
                ('expand', True, 'True'),
                ('kernels', (3, 4), '(3, 4)'),
                ('kernels', (3, 3), '(3, 3)'),
                ('kernels', (3, True), 'True'),
                ('transformer', 'some', "'some'"),
                ('tokens', 0, '0'),
                ('kernel', (3,), "'kernel': (3,)"),
            )
        ),
        (dict(arch=3), 'arch', 'int'),
        (dict(arch=blocks()[:-1]), 'arch', '6'),
        (dict(arch=dict(blocks=3)), 'arch', '3'),
        (dict(arch=dict(bocks=blocks())), 'arch', "'bocks'"),
        (dict(arch=dict(blocks=blocks(), type='Net')), 'arch', "'Net'"),
        (dict(arch=dict(blocks=blocks(), input_size=(0, 1))), 'input_size', '(0, 1)'),
        (dict(arch=dict(blocks=blocks(), space='mini')), 'space', "'mini'"),
        *(
            (dict(arch=blocks(3, **{name: value})), 'arch[3]', shown)
            for name, value, shown in (
                ('out', 5, '5'),
                ('stride', 1, '1'),
                ('kernels', [9, 5], '9'),
                ('kernels', [4, 5], '4'),
                ('kernels', [3, 3], '[3, 3]'),
                ('kernels', [3], '[3]'),
                ('channels', [2, 9], '9'),
                ('channels', [2, 0], '0'),
                ('channels', [2, 1.5], '1.5'),
                ('channels', [2, True], 'True'),
                ('tokens', 6, '6'),
                ('tokens', -1, '-1'),
                ('tokens', 'few', "'few'"),
            )
        ),
    ],
    'HRNetTrunk': [
        *HRNET,
        *not_counts('num_stages'),
        (dict(num_stages=4), 'num_stages', '4'),
        (dict(num_stages=1, frozen_stages=2), 'frozen_stages', '2'),
    ],
    'RawImage': INITS,
    'PSAHRNet': [
        *HRNET,
        *ATTENTION,
        *not_flags('in_bottlenecks'),
        (dict(extra=extra(stage3=stage(3, num_channels=(4, 16, 32)))), 'widths', '(4,'),
        (dict(extra=extra(stage3=stage(1))), 'num_branches', '1'),
        (
            dict(extra=extra(stage2=stage(2, num_channels=(9, 16)))),
            'num_channels',
            '9',
        ),
        (
            dict(
                layout='sequential',
                extra=extra(
                    **{
                        f'stage{i}': stage(i, num_channels=(4, 8, 16, 32)[:i])
                        for i in (2, 3, 4)
                    }
                ),
            ),
            'num_channels',
            '4',
        ),
    ],
    'PSAResNet': [
        *SHARED,
        *ATTENTION,
        *not_flags('deep_stem', 'avg_down', 'zero_init_residual'),
        *not_counts('stem_channels', 'base_channels', 'num_stages'),
        (dict(depth=19), 'depth', '19'),
        (dict(depth='18'), 'depth', "'18'"),
        (dict(base_channels=9), 'base_channels', '9'),
        (dict(num_stages=5), 'num_stages', '5'),
        (dict(expansion=0), 'expansion', '0'),
        (dict(expansion=2), 'expansion', '2'),
        (dict(strides=(1, 2)), 'strides', '(1, 2)'),
        (dict(strides=(1, 2, 2, 0)), 'strides', '0'),
        (dict(dilations=(1, 1, 1)), 'dilations', '(1, 1, 1)'),
        (dict(dilations=2), 'dilations', '2'),
        (dict(out_indices=(4,)), 'out_indices', '(4,)'),
        (dict(out_indices=()), 'out_indices', '()'),
        (dict(out_indices=3), 'out_indices', '3'),
        (
            dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(3,)),
            'out_indices',
            '(3,)',
        ),
        (dict(style='tensorflow'), 'style', "'tensorflow'"),
        (dict(conv_cfg=dict(type='Conv1d')), 'conv_cfg', "'Conv1d'"),
        (dict(frozen_stages=5), 'frozen_stages', '5'),
        (dict(deep_stem=True, stem_channels=1), 'stem_channels', '1'),
    ],
    'PolarizedSelfAttention': [
        *ATTENTION,
        *not_counts('in_channels'),
        (dict(in_channels=15), 'in_channels', '15'),
        (dict(in_channels=6, layout='sequential'), 'in_channels', '6'),
    ],
    'TokenPoseHead': [
        *INITS,
        *not_counts('in_channels', 'out_channels', 'embed_dims', 'num_heads'),
        *not_counts('hidden_channels'),
        *not_counts('graph_depth', least=0),
        *not_flags('graph_zero_init'),
        *(
            ({name: value}, name, repr(value))
            for name in ('in_featuremap_size', 'heatmap_size', 'patch_size')
            for value in (12, (12,), (12, 0), (12, 16.0), '12')
        ),
        (dict(patch_size=(5, 4)), 'patch_size', '(5, 4)'),
        (dict(patch_size=(3, 5)), 'patch_size', '(3, 5)'),
        (dict(heatmap_size=(24, 32)), 'heatmap_size', '(24, 32)'),
        (dict(num_heads=3), 'num_heads', '3'),
        (dict(embed_dims=18), 'embed_dims', '18'),
        (dict(depths=3), 'depths', '3'),
        (dict(depths=()), 'depths', '()'),
        (dict(depths=(2, 0)), 'depths', '(2, 0)'),
        (dict(mlp_ratio=0), 'mlp_ratio', '0'),
        (dict(mlp_ratio=0.01), 'mlp_ratio', '0.01'),
        (dict(mlp_ratio=float('nan')), 'mlp_ratio', 'nan'),
        (dict(mlp_ratio='3'), 'mlp_ratio', "'3'"),
        (dict(position='cosine'), 'position', "'cosine'"),
        (dict(qk_scale='deep'), 'qk_scale', "'deep'"),
        (dict(graph_depth=1, depths=(2, 2)), 'graph_depth', '1'),
        (dict(joint_mask='skeleton'), 'joint_mask', "'skeleton'"),
        (dict(graph_depth=1, joint_mask='limb'), 'joint_mask', "'limb'"),
        (dict(GRAPH, joint_mask='arms'), 'joint_mask', "'arms'"),
        (dict(GRAPH, joint_mask=3), 'joint_mask', '3'),
        (dict(GRAPH, out_channels=5), 'joint_mask', '(17, 17)'),
        (dict(graph_depth=1, joint_mask=[[1] * 4] * 4), 'joint_mask', '(4, 4)'),
        (dict(graph_depth=1, joint_mask=[[1] * 5] * 4), 'joint_mask', '(4, 5)'),
        (dict(graph_depth=1, joint_mask=[[1], [1, 1]]), 'joint_mask', '[[1], [1, 1]]'),
        (dict(graph_depth=1, joint_mask=[[2] * 5] * 5), 'joint_mask', '2'),
        (dict(graph_depth=1, joint_mask=[['a'] * 5] * 5), 'joint_mask', "'a'"),
        (dict(graph_depth=1, joint_mask=[[0] * 5] * 5), 'joint_mask', '0'),
        (dict(metainfo=COCO), 'out_channels', '5'),
        (dict(metainfo=3), 'metainfo', '3'),
        (dict(GRAPH, metainfo=dict(from_file='none.py')), 'metainfo', 'none.py'),
        (dict(GRAPH, metainfo=dict(dataset_name='a')), 'metainfo', "'a'"),
        (dict(GRAPH, drop_links=[(0, 16)]), 'drop_links', '[0, 16]'),
        (dict(GRAPH, drop_links=[3]), 'drop_links', '[3]'),
        (dict(drop_links=[(5, 6)]), 'drop_links', '[(5, 6)]'),
        (dict(loss=None), 'loss', 'None'),
        (dict(loss=dict(type='KeypointLoss')), 'loss', "'KeypointLoss'"),
        (dict(loss={}), 'loss', '{}'),
        (dict(decoder=dict(CODEC, type='Heatmap')), 'decoder', "'Heatmap'"),
        (dict(decoder='MSRAHeatmap'), 'decoder', "'MSRAHeatmap'"),
        (dict(sparse_cfg=3), 'sparse_cfg', '3'),
        *(
            (dict(sparse_cfg={**TOKENS, name: v}), f'sparse_cfg {name}', repr(v))
            for name, v in (
                ('mode', 'fast'),
                ('mode', 3),
                ('keep_ratio', 0),
                ('keep_ratio', 1.5),
                ('keep_ratio', 'half'),
                ('layers', 0),
                ('layers', (2,)),
                ('layers', (1, 0)),
                ('layers', ('0',)),
                ('reselect', 'no'),
                ('block', 2.5),
                ('queries', 'all'),
                ('mask_eps', float('nan')),
                ('mask_eps', '0'),
            )
        ),
        (dict(sparse_cfg=dict(TOKENS, keep=0.5)), 'sparse_cfg', "'keep'"),
        (dict(sparse_cfg=dict(TOKENS, mode='block', block=3)), 'sparse_cfg block', '3'),
        (dict(sparse_cfg=dict(TOKENS, mask_eps=-1)), 'mask_eps', '-1'),
    ],
    'SearchablePoseEstimator': [
        (dict(resource=None), 'resource', 'None'),
        (dict(resource={}), 'resource', '{}'),
        (dict(resource=dict(RESOURCE, budget=3)), 'resource', "'budget': 3"),
        (dict(resource=dict(input_size=48)), "resource['input_size']", '48'),
        (dict(resource=dict(input_size=(48, 0))), "resource['input_size']", '(48, 0)'),
        (dict(resource=dict(RESOURCE, cost='flops')), "resource['cost']", "'flops'"),
        (dict(resource=dict(RESOURCE, cost='no.json')), 'latency table', 'no.json'),
        (dict(resource=dict(RESOURCE, target=3)), "resource['target']", '3'),
        *(
            (dict(resource=dict(RESOURCE, target=dict(t))), "resource['target']", shown)
            for t, shown in (
                (dict(flops=3), "'flops': 3"),
                (dict(latency_ms=3), 'latency_ms'),
                (dict(macs=0), '0'),
                (dict(macs='2e7'), "'2e7'"),
                (dict(macs=float('nan')), 'nan'),
            )
        ),
        (dict(backbone=None), 'backbone', 'None'),
        (dict(backbone=dict(type='HRNASet')), 'backbone', "'HRNASet'"),
        (dict(backbone=dict(BACKBONE, space='huge')), 'space', "'huge'"),
        (dict(backbone=dict(type='mmpose_lite.RawImage')), 'backbone', 'RawImage'),
        (dict(head=None), 'head', 'None'),
        (dict(head=dict(HEAD, type='HeatHead')), 'head', "'HeatHead'"),
        (dict(head=dict(HEAD, in_channels=7)), 'head in_channels', '7'),
        (dict(neck='none'), 'neck', "'none'"),
        (dict(neck=dict(type='Nck')), 'neck', "'Nck'"),
        (dict(test_cfg='flip'), 'test_cfg', "'flip'"),
        (dict(train_cfg=3), 'train_cfg', '3'),
        (dict(data_preprocessor=dict(mean=[1])), 'data_preprocessor', "'mean': [1]"),
        (dict(metainfo='coco'), 'metainfo', "'coco'"),
        *INITS,
    ],
    'RampedAverage': [
        (dict(model=3), 'model', '3'),
        *not_counts('interval'),
        *not_flags('update_buffers'),
        *(
            (dict(momentum=value), 'momentum', repr(value))
            for value in (0, 1, -0.5, '0.1', float('nan'), True)
        ),
        (dict(device='gpu'), 'device', "'gpu'"),
    ],
    'AtomicCheckpointHook': [
        *not_counts('interval', 'max_keep_ckpts'),
        *not_counts('save_begin', least=0),
        *not_flags('by_epoch', 'save_optimizer', 'save_param_scheduler', 'save_last'),
        (dict(interval=-2), 'interval', '-2'),
        (dict(max_keep_ckpts=-2), 'max_keep_ckpts', '-2'),
        (dict(out_dir=3), 'out_dir', '3'),
        (dict(save_best=3), 'save_best', '3'),
        (dict(save_best=['AP', 'AP'], rule='greater'), 'save_best', "['AP', 'AP']"),
        (dict(save_best=['auto', 'AP']), 'save_best', "['auto', 'AP']"),
        (dict(save_best='my_score'), 'save_best', "'my_score'"),
        (dict(save_best='AP', rule='more'), 'rule', "'more'"),
        (dict(save_best='AP', rule=['less', 'less']), 'rule', "['less', 'less']"),
        (dict(greater_keys=3), 'greater_keys', '3'),
        (dict(less_keys=[3]), 'less_keys', '[3]'),
        (dict(filename_tmpl='last.pth'), 'filename_tmpl', "'last.pth'"),
        (dict(published_keys=['a', 'a']), 'published_keys', "['a', 'a']"),
        (dict(published_keys=3), 'published_keys', '3'),
        (dict(backend_args=dict(backend='petrel')), 'backend_args', 'petrel'),
        (dict(file_client_args=dict(backend='disk')), 'file_client_args', 'disk'),
    ],
    'BNRecalibrationHook': not_counts('interval', 'batches', 'batch_size'),
    'CheckFitHook': [],
    'DataGuardHook': [
        *not_flags('images', 'validation'),
        *(
            (dict(tolerance=value), 'tolerance', repr(value))
            for value in (-0.1, 1.5, '1 %', float('nan'), True)
        ),
    ],
    'EpochSeedHook': not_flags('strict'),
    'PenaltyHook': [
        *(
            ({name: value}, name, repr(value))
            for name in ('weight', 'begin', 'end')
            for value in (-1, '1', float('nan'), float('inf'), None)
        ),
        (dict(begin=3, end=1), 'begin', '3'),
    ],
    'ShrinkHook': [
        *not_counts('interval'),
        *not_counts('tokens_from', least=0),
        (dict(end=0), 'end', '0'),
        (dict(end='last'), 'end', "'last'"),
        (dict(interval=5, end=3), 'interval', '5'),
        *(
            ({name: value}, name, repr(value))
            for name in ('threshold', 'min_saving')
            for value in (-1, '1', float('nan'), None)
        ),
        (dict(min_saving=1.5), 'min_saving', '1.5'),
    ],
}
