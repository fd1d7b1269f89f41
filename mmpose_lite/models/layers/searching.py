"""The searching block of HR-NAS: mixed depthwise convolutions and a transformer.

arXiv 2106.06560, section 3.1; a block can lose hidden channels, kernel sizes, tokens
and in the end all it has but its shortcut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .conv import conv_norm, norm_layer
from .light_transformer import LightTransformer
from .surgery import Cut, alive, cut_inputs, cut_norm, cut_outputs, removed, take_over


class InvertedBottleneck(nn.Module):
    """Expand, convolve depthwise, project: what one kernel size adds to a block.

    Shape:
        - Input: ``(B, C, H, W)``.
        - Output: ``(B, C', ceil(H / stride), ceil(W / stride))``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.expand = conv_norm(in_channels, channels, 1, norm_cfg=norm_cfg)
        self.depthwise = conv_norm(
            channels,
            channels,
            kernel_size,
            stride=stride,
            depthwise=True,
            norm_cfg=norm_cfg,
        )
        self.project = nn.Conv2d(channels, out_channels, 1, bias=False)

    @property
    def kernel_size(self) -> int:
        """Side of the depthwise kernel."""
        return self.depthwise.conv.kernel_size[0]

    @property
    def importance(self) -> nn.Parameter:
        """Weights of the depthwise norm, the channels' importance in the search."""
        return self.depthwise.bn.weight

    def forward(self, x: Tensor) -> Tensor:
        """The three convolutions."""
        return self.project(self.depthwise(self.expand(x)))

    def constant_of(self, channels: Tensor) -> Tensor:
        """What ``channels`` add to every pixel of the output if their importance is 0.

        Such a channel is the ReLU of its norm's bias everywhere. ``(C',)``, in double
        precision.
        """
        emitted = F.relu(self.depthwise.bn.bias[channels].double())
        return self.project.weight[:, channels, 0, 0].double() @ emitted

    def cut(self, keep: Tensor) -> Iterator[Cut]:
        """Go on with the hidden channels ``keep`` only."""
        for layer in (self.expand, self.depthwise):
            yield from cut_outputs(layer.conv, keep)
            yield from cut_norm(layer.bn, keep)
        yield from cut_inputs(self.project, keep)


class SearchingBlock(nn.Module):
    r"""Shortcut plus what is left of the mixed convolutions and the transformer.

    .. math::
        y = S(x) + T(x) + \mathrm{BN}(\textstyle\sum_k \mathrm{Proj}_k(\ldots))

    S is the identity where shapes allow it and else a grouped 1x1 convolution with as
    many groups as both widths share. A block that lost all its convolutions adds the
    constant that they ended in; published code loses it.

    Args:
        kernels: Sides of the depthwise kernels that are left, each at most once.
        channels: Hidden width of each of ``kernels``.
        tokens: Tokens of the transformer, 0 for none.

    Shape:
        - Input: ``(B, C, H, W)``.
        - Output: ``(B, C', ceil(H / stride), ceil(W / stride))``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        kernels: Sequence[int] = (3, 5, 7),
        channels: Sequence[int],
        tokens: int = 0,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride
        self.norm_cfg = norm_cfg
        self.residual: nn.Conv2d | None = None
        if stride > 1 or in_channels != out_channels:
            groups = math.gcd(in_channels, out_channels)
            self.residual = nn.Conv2d(
                in_channels, out_channels, 1, stride, groups=groups, bias=False
            )
        self.register_buffer('constant', None)
        self._fill(kernels, channels, tokens)

    def _fill(
        self, kernels: Sequence[int], channels: Sequence[int], tokens: int
    ) -> None:
        ends = self.in_channels, self.out_channels
        self.ops = nn.ModuleList(
            InvertedBottleneck(
                ends[0], width, ends[1], kernel, self.stride, self.norm_cfg
            )
            for kernel, width in zip(kernels, channels, strict=True)
        )
        self.transformer = (
            LightTransformer(*ends, tokens, self.norm_cfg) if tokens else None
        )
        if len(self.ops):
            self.constant, self.pw_bn = None, norm_layer(self.norm_cfg, ends[1])
        else:
            self.constant, self.pw_bn = torch.zeros(ends[1]), None

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel sizes that are left."""
        return tuple(op.kernel_size for op in self.ops)

    @property
    def channels(self) -> tuple[int, ...]:
        """Hidden width of each of :attr:`kernels`."""
        return tuple(op.project.in_channels for op in self.ops)

    @property
    def tokens(self) -> int:
        """Tokens that are left."""
        return 0 if self.transformer is None else self.transformer.tokens

    def importances(self) -> list[nn.Parameter]:
        """Those of each of :attr:`kernels`, then the tokens' if there are any."""
        parts = [*self.ops, *([] if self.transformer is None else [self.transformer])]
        return [part.importance for part in parts]

    def forward(self, x: Tensor) -> Tensor:
        """Sum of all that is left."""
        y = x if self.residual is None else self.residual(x)
        if self.transformer is not None:
            y = y + self.transformer(x, y.shape[-2:])
        if self.pw_bn is None:
            return y + self.constant[:, None, None]
        mixed = self.ops[0](x)
        for op in self.ops[1:]:
            mixed = mixed + op(x)
        return y + self.pw_bn(mixed)

    def cut(self, masks: Sequence[Tensor], tokens: Tensor | None = None) -> list[Cut]:
        """Remove hidden channels and tokens in place.

        In eval mode this is exact where the importance of what leaves is 0, except for
        tokens.

        Args:
            masks: Per kernel size that is left, ``(n,)``, true for what stays.
            tokens: ``(n,)``, true for what stays; None keeps all.
        """
        cuts: list[Cut] = []
        lost = torch.zeros(self.out_channels, dtype=torch.float64)
        lost = lost.to(next(self.buffers()).device)
        with torch.no_grad():
            for op, mask in zip(self.ops, masks, strict=True):
                lost += op.constant_of(alive(~mask))
                if mask.any() and not mask.all():
                    cuts += op.cut(alive(mask))
            cuts += self._drop_dead(masks, lost)
        if self.transformer is not None and tokens is not None and not tokens.all():
            if tokens.any():
                cuts += self.transformer.cut(alive(tokens))
            else:
                cuts += removed(self.transformer)
                self.transformer = None
        return cuts

    def _drop_dead(self, masks: Sequence[Tensor], lost: Tensor) -> list[Cut]:
        """Remove kernel sizes without a channel; keep what they added everywhere."""
        if self.pw_bn is None:
            return []
        norm = self.pw_bn
        norm.running_mean -= lost.to(norm.running_mean.dtype)
        dead = [op for op, mask in zip(self.ops, masks, strict=True) if not mask.any()]
        cuts = [cut for op in dead for cut in removed(op)]
        self.ops = nn.ModuleList(op for op in self.ops if op not in dead)
        if not len(self.ops):
            scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
            constant = norm.bias.double() - norm.running_mean.double() * scale
            self.constant = constant.to(norm.running_mean.dtype)
            cuts += removed(norm)
            self.pw_bn = None
        return cuts

    def reshape(
        self, kernels: Sequence[int], channels: Sequence[int], tokens: int
    ) -> None:
        """Take another form, to load weights into; values are not kept.

        Parameters that both forms have stay the same objects.
        """
        reference = next(self.buffers())
        old_ops = {op.kernel_size: op for op in self.ops}
        old_norm, old_transformer = self.pw_bn, self.transformer
        self._fill(kernels, channels, tokens)
        self.to(reference.device, reference.dtype).train(self.training)
        for index, op in enumerate(self.ops):
            if op.kernel_size in old_ops:
                self.ops[index] = take_over(old_ops[op.kernel_size], op)
        if old_norm is not None and self.pw_bn is not None:
            self.pw_bn = old_norm
        if old_transformer is not None and self.transformer is not None:
            self.transformer = take_over(old_transformer, self.transformer)
