"""Half precision stays finite, gradients are right, and a seed decides everything."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn
from torch.autograd import gradcheck

from mmpose_lite.models import layers
from mmpose_lite.models.layers import ccw, light_transformer, pruning
from reliability.frame import cases
from reliability.jobs import JOBS

SECTION = (6, 'Numerics')
NORM = dict(type='BN')
CONFIGS = sorted((ROOT / 'configs').glob('*/*_coco-256x192.py'))
PRECISIONS = {'bf16': torch.bfloat16, 'fp16': torch.float16}
IMAGES = {
    'black': lambda shape: torch.zeros(shape),
    'white': lambda shape: torch.full(shape, 255.0),
    # Of images that are normalised already: far outside of what any image holds.
    'noise': lambda shape: 1e4 * torch.randn(shape),
}


@cases(
    {
        f'{path.parent.name}-{path.stem}-{name}': (path, precision)
        for path in CONFIGS
        for name, precision in PRECISIONS.items()
    }
)
@pytest.mark.slow
def test_half_precision_is_finite(case):
    """Forward and backward in training mode, and forward in eval mode."""
    path, precision = case
    init_default_scope('mmpose')
    config = Config.fromfile(path)
    model = config.model
    model.backbone.pop('init_cfg', None)  # no download
    height, width = (int(n) for n in re.search(r'(\d+)x(\d+)$', path.stem).groups())
    torch.manual_seed(0)
    network = MODELS.build(model)
    network.init_weights()
    network.train()
    mean, std = (torch.tensor(model.data_preprocessor[k]) for k in ('mean', 'std'))
    images = {name: make((1, 3, height, width)) for name, make in IMAGES.items()}
    for name in ('black', 'white'):
        images[name] = (images[name] - mean[:, None, None]) / std[:, None, None]
    for name, image in images.items():
        network.zero_grad()
        with torch.autocast('cpu', precision):
            loss = sum(_losses(network.head(network.extract_feat(image))))
        assert loss.isfinite(), name
        loss.backward()
        for key, parameter in network.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), (name, key)
    network.eval()
    with torch.no_grad(), torch.autocast('cpu', precision):
        found = network.head(network.extract_feat(torch.cat([*images.values()])))
    assert all(part.isfinite().all() for part in _flat(found))


def _flat(found):
    return [found] if isinstance(found, torch.Tensor) else list(found)


def _losses(found):
    return [(part.float() - 1).square().mean() for part in _flat(found)]


class OnTokens(nn.Module):
    """A pruned encoder as a function of its tokens."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        options = dict(mode=mode, keep_ratio=0.5, layers=(0,), block=2)
        if mode == 'mask':
            options['mask_eps'] = 1e-6
        self.pruning = layers.build_pruning(options, 2, 2, (4, 4))
        self.encoder = nn.ModuleList(layers.EncoderLayer(8, 2) for _ in range(2))

    def forward(self, tokens):
        stream = layers.Stream(tokens, None, None)
        for index, layer in enumerate(self.encoder):
            stream = self.pruning(layer, stream, index)
        return stream.tokens


class OnMaps(nn.Module):
    """A layer of several resolutions as a function of its maps."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *maps):
        return tuple(self.layer(list(maps)))


def _block(**options):
    return layers.SearchingBlock(6, 6, channels=(4, 3, 2), norm_cfg=NORM, **options)


MAP, TOKENS = [(2, 8, 6, 4)], [(2, 18, 8)]
PYRAMID = [(2, 8, 8, 4), (2, 16, 4, 2)]
ON_SIX = [(2, 6, 5, 4)]
LAYERS = {
    'SelfAttention': (lambda: layers.SelfAttention(8, 2), TOKENS),
    'EncoderLayer': (lambda: layers.EncoderLayer(8, 2), TOKENS),
    **{f'Pruning-{mode}': (partial(OnTokens, mode), TOKENS) for mode in pruning.MODES},
    'SUSA-h': (lambda: layers.SUSA(8, 'h', 6), MAP),
    'SUSA-w': (lambda: layers.SUSA(8, 'w', 4), MAP),
    'ParallelSUSA': (lambda: layers.ParallelSUSA(8, (6, 4)), MAP),
    **{
        f'PolarizedSelfAttention-{layout}-{variant}': (
            partial(layers.PolarizedSelfAttention, 8, layout, variant),
            MAP,
        )
        for layout in ('parallel', 'sequential')
        for variant in ('code', 'paper')
    },
    'CrossResolutionWeighting': (
        lambda: OnMaps(ccw.CrossResolutionWeighting((8, 16), norm_cfg=NORM)),
        PYRAMID,
    ),
    'SpatialWeighting': (lambda: ccw.SpatialWeighting(8), MAP),
    'ConditionalChannelWeighting': (
        lambda: OnMaps(layers.ConditionalChannelWeighting((16, 32), NORM)),
        [(2, 16, 8, 4), (2, 32, 4, 2)],
    ),
    'ShuffleUnit': (lambda: layers.ShuffleUnit(layers.naive_transform(4, NORM)), MAP),
    'PerBranch': (
        lambda: OnMaps(
            layers.shuffle_chains((8, 16), 1, NORM, transform=layers.naive_transform)
        ),
        PYRAMID,
    ),
    'PatchEmbedding': (lambda: layers.PatchEmbedding(8, (2, 3), 12), MAP),
    'InvertedBottleneck': (lambda: layers.InvertedBottleneck(8, 5, 8, 3, 1, NORM), MAP),
    'SearchingBlock': (_block, ON_SIX),
    'SearchingBlock-stride': (partial(_block, stride=2), ON_SIX),
    'SearchingBlock-tokens': (partial(_block, tokens=3), ON_SIX),
    'LightTransformer': (
        lambda: WithSize(layers.LightTransformer(6, 6, 3, NORM, dropout=0.0)),
        ON_SIX,
    ),
    'PostNormLayer': (lambda: light_transformer.PostNormLayer(8, dropout=0.0), TOKENS),
}


class WithSize(nn.Module):
    """A transformer that returns the size of what it is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x, tuple(x.shape[2:]))


def test_every_layer_has_a_gradient_case():
    """A new layer comes with a row in the table above."""
    given = {name.partition('-')[0] for name in LAYERS}
    for name in layers.__all__:
        found = getattr(layers, name)
        if isinstance(found, type) and issubclass(found, nn.Module):
            assert name in given, name


@cases(LAYERS, share=1)
def test_gradient(case):
    """Analytic against numeric, double precision, of inputs and all parameters."""
    make, shapes = case
    torch.manual_seed(1)
    layer = make().double()
    for name, parameter in layer.named_parameters():
        # Gates and norms start at 0 and 1, where much of the gradient vanishes.
        nn.init.normal_(parameter, mean=float('norm' in name), std=0.3)
    layer.train()
    for module in layer.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
        if isinstance(module, layers.SelfAttention | nn.MultiheadAttention):
            module.dropout = 0.0
    inputs = [
        torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes
    ]
    names, values = zip(*layer.named_parameters(), strict=True)

    def function(*arguments):
        given = dict(zip(names, arguments[len(inputs) :], strict=True))
        return torch.func.functional_call(layer, given, arguments[: len(inputs)])

    assert gradcheck(function, (*inputs, *values), fast_mode=True, atol=1e-6)


@cases(['training', 'search', 'toy data'])
@pytest.mark.slow
def test_same_seed_same_result(case, tmp_path):
    """Two runs are bitwise equal."""
    job = JOBS[case]
    folders = [Path(tmp_path, name) for name in ('one', 'two')]
    for folder in folders:
        folder.mkdir()
        torch.manual_seed(0)
        job.run(folder)
    job.compare(*folders)
