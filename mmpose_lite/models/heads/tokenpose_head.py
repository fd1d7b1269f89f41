"""TokenPose head, dense (arXiv 2104.03516) and with sparsity (arXiv 2311.09653)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.models.heads import HeatmapHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...checks import (
    ANY,
    NOTHING,
    Rule,
    blaming,
    check,
    checked,
    config_of,
    each,
    number,
    one_of,
    shown,
    whole,
)
from ...registry import register_model
from ..layers import (
    EncoderLayer,
    PatchEmbedding,
    Stream,
    build_pruning,
    joint_mask,
    sine_position_table,
)
from ..layers.config_rules import INIT_CFG
from ..layers.joint_mask import VARIANTS

_BIT = Rule('0 or 1', lambda value: isinstance(value, int | float) and value in (0, 1))


def _is_matrix(value: Any) -> bool:
    rows = each(each(_BIT), least=1)
    return rows.problem(value) is None and len({len(row) for row in value}) == 1


_MATRIX = Rule(f'None, one of {VARIANTS} or a matrix of 0 and 1', _is_matrix)


def _fixed_mask(
    mask: str | Sequence[Sequence[int]] | None,
    metainfo: Mapping[str, Any] | None,
    drop_links: Sequence[tuple[int, int]],
    num_keypoints: int,
) -> Tensor | None:
    """Mask of the graph layers, from the data set's skeleton or as given."""
    if mask is None:
        return None
    if isinstance(mask, str):
        if metainfo is None:
            raise ValueError(
                f'joint_mask={mask!r} needs metainfo, as a data set takes it: '
                "dict(from_file='configs/_base_/datasets/coco.py') or the whole dict"
            )
        fixed = joint_mask(metainfo, mask, drop_links)
    else:
        rows = mask.tolist() if hasattr(mask, 'tolist') else mask
        check('joint_mask', rows, _MATRIX)
        fixed = torch.tensor(rows, dtype=torch.bool)
    if fixed.shape != (num_keypoints, num_keypoints):
        raise ValueError(
            f'joint_mask must be of {num_keypoints} x {num_keypoints} keypoints '
            f'(out_channels), got {tuple(fixed.shape)}'
        )
    if not fixed.diagonal().all():
        raise ValueError(
            f'joint_mask must let every keypoint see itself, got {shown(mask)}'
        )
    return fixed


@register_model
class TokenPoseHead(HeatmapHead):
    """Transformer over keypoint tokens and image patches that predicts heatmaps.

    TokenPose, arXiv 2104.03516: ``depths=(12,)`` is the head of T, S and B, ``(8, 8,
    8)`` that of L/D24, whose keypoint tokens are read after every encoder. With
    ``sparse_cfg`` and ``graph_depth`` it is Improved TokenPose with Sparsity, arXiv
    2311.09653, implemented from the paper's text: the authors' published code computes
    dense attention. Any backbone whose last map has the given size can stand before it.

    Sizes are (w, h), as in MMPose's codecs: that of the map in cells, of a patch in
    cells of the map, of the heatmaps in heatmap pixels.

    Args:
        out_channels: Number J of keypoints.
        embed_dims: Token width D.
        depths: Layers of each encoder; they follow each other on the same tokens.
        mlp_ratio: Hidden width of a layer's perceptron over D.
        position: ``'sine-full'`` adds a fixed table to the visual tokens at first and
            again before every layer but the first of each encoder, ``'sine'`` only at
            first; ``'learnable'`` adds a parameter to all tokens at first.
        qk_scale: ``'head'`` scales attention logits by 1 / sqrt(D / h), as usual;
            ``'width'`` by 1 / sqrt(D), which the published S networks do.
        hidden_channels: Hidden width of the heatmap perceptron, an eighth of the
            heatmap's pixels if not given. It has two linear layers if its input is at
            most half as wide as that, else one.
        sparse_cfg: Pruning of visual tokens, see :class:`SparseConfig`; dense if not
            given.
        graph_depth: Layers on the keypoint tokens alone, after the encoder.
        joint_mask: Who sees whom in them: ``'skeleton'`` or ``'limb'`` (see
            :func:`mmpose_lite.models.layers.joint_mask`), a J x J matrix, or None for
            everyone.
        metainfo: The data set's, as MMPose's data sets take it; the first two need it.
        drop_links: Skeleton links to leave out of ``joint_mask``.
        graph_zero_init: Whether graph layers begin as the identity, so that a network
            that goes on from a dense checkpoint begins with its outputs.
        init_cfg: Initialisation; truncated normal of 0.02 if not given.

    Shape:
        - Input: tuple of maps, the last ``(B, C, H, W)``.
        - Output: heatmaps ``(B, J, heatmap height, heatmap width)``, raw.
    """

    @checked(
        depths=each(whole(1), least=1),
        mlp_ratio=number(above=0),
        position=one_of('sine-full', 'sine', 'learnable'),
        qk_scale=one_of('head', 'width'),
        graph_depth=whole(0),
        joint_mask=ANY,
        drop_links=each(each(whole(0), 2)),
        loss=config_of(MODELS.get, 'a loss'),
        decoder=NOTHING | config_of(KEYPOINT_CODECS.get, 'a codec'),
        init_cfg=INIT_CFG,
    )
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        in_featuremap_size: tuple[int, int],
        heatmap_size: tuple[int, int],
        patch_size: tuple[int, int],
        embed_dims: int = 192,
        depths: Sequence[int] = (12,),
        num_heads: int = 8,
        mlp_ratio: float = 3,
        position: str = 'sine-full',
        qk_scale: str = 'head',
        hidden_channels: int | None = None,
        sparse_cfg: Mapping[str, Any] | None = None,
        graph_depth: int = 0,
        joint_mask: str | Sequence[Sequence[int]] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        drop_links: Sequence[tuple[int, int]] = (),
        graph_zero_init: bool = False,
        loss: Mapping[str, Any] = dict(type='KeypointMSELoss', use_target_weight=True),
        decoder: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            deconv_out_channels=None,
            final_layer=None,
            loss=loss,
            decoder=decoder,
            init_cfg=init_cfg,
        )
        if graph_depth and len(depths) > 1:
            raise ValueError(
                'graph_depth must be 0 with more than one encoder (depths '
                f'{tuple(depths)}), got {graph_depth}'
            )
        if joint_mask is not None and not graph_depth:
            raise ValueError(
                f'joint_mask {shown(joint_mask)} needs graph layers, got graph_depth=0'
            )
        if drop_links and not isinstance(joint_mask, str):
            raise ValueError(
                f'drop_links {drop_links} needs joint_mask to be one of {VARIANTS}, '
                f'got joint_mask={shown(joint_mask)}'
            )
        size = (decoder or {}).get('heatmap_size')
        if size is not None and tuple(size) != tuple(heatmap_size):
            raise ValueError(
                f"heatmap_size (w, h) must be the decoder's, {tuple(size)}, got "
                f'{tuple(heatmap_size)}'
            )
        if metainfo is not None:
            with blaming('metainfo', metainfo):
                metainfo = parse_pose_metainfo(metainfo)
            keypoints = metainfo['num_keypoints']
            # A mask made from it says so itself.
            if not isinstance(joint_mask, str) and keypoints != out_channels:
                raise ValueError(
                    f'out_channels must be {keypoints}, the keypoints of '
                    f'{metainfo["dataset_name"]!r} as metainfo has it, got '
                    f'{out_channels}'
                )
        columns, rest = divmod(in_featuremap_size[0], patch_size[0])
        rows, below = divmod(in_featuremap_size[1], patch_size[1])
        if rest or below:
            raise ValueError(
                f'patch_size (w, h) must divide in_featuremap_size '
                f'{tuple(in_featuremap_size)}, got {tuple(patch_size)}'
            )
        grid = columns, rows
        self.in_shape = (in_channels, in_featuremap_size[1], in_featuremap_size[0])
        self.heatmap_size = tuple(heatmap_size)
        self.position_type = position
        scale = embed_dims**-0.5 if qk_scale == 'width' else None

        def layers(depth: int) -> nn.ModuleList:
            return nn.ModuleList(
                EncoderLayer(embed_dims, num_heads, mlp_ratio, scale)
                for _ in range(depth)
            )

        self.patch_embedding = PatchEmbedding(
            in_channels, tuple(patch_size), embed_dims
        )
        self.keypoint_tokens = nn.Parameter(torch.empty(1, out_channels, embed_dims))
        nn.init.trunc_normal_(self.keypoint_tokens, std=0.02)
        if position == 'learnable':
            tokens = out_channels + columns * rows
            self.position = nn.Parameter(torch.empty(1, tokens, embed_dims))
            nn.init.trunc_normal_(self.position, std=0.02)
        else:
            table = sine_position_table(grid, embed_dims)
            self.register_buffer('position', table, persistent=False)
        self.encoders = nn.ModuleList(layers(depth) for depth in depths)
        self.pruning = None
        if sparse_cfg is not None:
            self.pruning = build_pruning(sparse_cfg, sum(depths), out_channels, grid)
        self.graph_layers = layers(graph_depth)
        self.graph_zero_init = graph_zero_init
        mask = _fixed_mask(joint_mask, metainfo, drop_links, out_channels)
        self.register_buffer('joint_mask', mask, persistent=False)
        self.heatmap_mlp = self._heatmap_mlp(len(depths) * embed_dims, hidden_channels)

    def _heatmap_mlp(self, width: int, hidden: int | None) -> nn.Sequential:
        """Two linear layers, each after a norm, or one where the input is wide."""
        pixels = self.heatmap_size[0] * self.heatmap_size[1]
        if hidden is None:
            hidden = pixels // 8
        widths = [width, hidden, pixels] if width <= hidden / 2 else [width, pixels]
        steps: list[nn.Module] = []
        for i in range(len(widths) - 1):
            steps += [nn.LayerNorm(widths[i]), nn.Linear(widths[i], widths[i + 1])]
        return nn.Sequential(*steps)

    @property
    def default_init_cfg(self) -> list[dict[str, Any]]:
        """Initialisation of the paper's code."""
        return [
            dict(type='TruncNormal', layer='Linear', std=0.02),
            dict(type='Constant', layer='LayerNorm', val=1),
        ]

    def init_weights(self) -> None:
        """Initialise, and make the graph layers the identity if so asked."""
        super().init_weights()
        if self.graph_zero_init:
            for layer in self.graph_layers:
                for linear in (layer.attention.out, layer.mlp[-1]):
                    nn.init.zeros_(linear.weight)
                    nn.init.zeros_(linear.bias)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Heatmaps of the last map."""
        feat = feats[-1]
        if tuple(feat.shape[1:]) != self.in_shape:
            raise ValueError(
                f'feats must end in a map of (C, H, W) = {self.in_shape}, as '
                f'in_channels and in_featuremap_size say, got {tuple(feat.shape[1:])}'
            )
        stream, read, index = self.embed(feat), [], 0
        for encoder in self.encoders:
            for depth, layer in enumerate(encoder):
                if depth and stream.position is not None:
                    stream = stream.with_tokens(stream.tokens + stream.position)
                if self.pruning is None:
                    stream = stream.with_tokens(layer(stream.tokens))
                else:
                    stream = self.pruning(layer, stream, index)
                index += 1
            read.append(stream.tokens[:, : self.out_channels])
        keypoints = torch.cat(read, dim=-1)
        for layer in self.graph_layers:
            keypoints = layer(keypoints, self.joint_mask)
        width, height = self.heatmap_size
        return self.heatmap_mlp(keypoints).unflatten(-1, (height, width))

    def embed(self, feat: Tensor) -> Stream:
        """Keypoint and visual tokens of a map ``(B, C, H, W)``, with positions."""
        visual = self.patch_embedding(feat)
        keypoints = self.keypoint_tokens.expand(feat.shape[0], -1, -1)
        position = self.position
        if self.position_type != 'learnable':
            position = F.pad(position, (0, 0, self.out_channels, 0))
        tokens = torch.cat((keypoints, visual), dim=1) + position
        return Stream(tokens, position if self.position_type == 'sine-full' else None)
