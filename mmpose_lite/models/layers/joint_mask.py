"""Which keypoints may attend to each other, from a data set's own skeleton.

Improved TokenPose with Sparsity, arXiv 2311.09653: every joint sees itself, its
neighbours along the skeleton and its mirror image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...checks import check, one_of

VARIANTS = ('skeleton', 'limb')
# Links between these tie one limb to another; 'limb' leaves them out. With COCO's
# skeleton the paper's example is met: a shoulder sees its elbow and the other shoulder.
_TIES = ({'shoulder', 'hip'}, {'ear', 'shoulder'})


def joint_mask(
    metainfo: Mapping[str, Any],
    variant: str = 'skeleton',
    drop_links: Iterable[tuple[int, int]] = (),
) -> Tensor:
    """Symmetric boolean mask ``(J, J)`` of self, skeleton links and flip pairs.

    Args:
        metainfo: A data set's parsed metainfo (``dataset.metainfo`` in MMPose):
            ``num_keypoints``, ``skeleton_links``, ``flip_pairs`` and
            ``keypoint_id2name`` are read.
        variant: ``'skeleton'`` takes every link, ``'limb'`` all but those between
            shoulder and hip and between ear and shoulder.
        drop_links: Further links to leave out, pairs of joint numbers in any order.

    Raises:
        ValueError: If ``variant`` is unknown or a dropped link is none of the skeleton.
    """
    check('joint_mask', variant, one_of(*VARIANTS))
    names = metainfo['keypoint_id2name']
    links = {frozenset(link) for link in metainfo['skeleton_links']}
    dropped = {frozenset(link) for link in drop_links}
    if not dropped <= links:
        raise ValueError(
            f'drop_links must be links of the skeleton {sorted(map(sorted, links))}, '
            f'got {sorted(map(sorted, dropped - links))}'
        )
    if variant == 'limb':
        kinds = {n: name.rpartition('_')[2] for n, name in names.items()}
        dropped |= {link for link in links if {kinds[n] for n in link} in _TIES}
    mask = torch.eye(metainfo['num_keypoints'], dtype=torch.bool)
    for pair in [*(links - dropped), *metainfo['flip_pairs']]:
        first, second = pair
        mask[first, second] = mask[second, first] = True
    return mask
