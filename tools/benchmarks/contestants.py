"""Who takes part in the benchmark: networks of this package and of MMPose."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import mmpose
import torch
import yaml
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmpose_lite.paths import config_path, config_root

AS_IS, OPTIMIZED, STRAIGHTFORWARD = 'as is', 'optimized', 'straightforward'
# What is timed of a network: straightforward is an export that leaves batch norms in.
OURS, THEIRS = (AS_IS, OPTIMIZED), (AS_IS,)
THEIRS_BOTH = (STRAIGHTFORWARD, AS_IS)
# Height and width of the images that published AP holds for.
AP_SIZE = (256, 192)
HEATMAP = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_'
RTMPOSE = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-'


@dataclass(frozen=True)
class Contestant:
    """A network that takes part.

    Attributes:
        name: What the command line calls it; of ours, the short name in the zoo.
        title: What tables call it.
        config: Below our configs, or of MMPose's after ``mmpose::``.
        forms: What of it is timed.
        choosy: Whether it chooses (tokens, say), so that rounding may change what it
            computes and outputs of two engines are not comparable.
        compiles: Whether the native compiler knows all that it does.
    """

    name: str
    title: str
    config: str
    forms: tuple[str, ...] = OURS
    choosy: bool = False
    compiles: bool = False

    @property
    def ours(self) -> bool:
        """Whether the network is one of this package."""
        return not self.config.startswith('mmpose::')

    @property
    def path(self) -> Path:
        """The config file.

        Raises:
            ValueError: If it does not exist.
        """
        if self.ours:
            return Path(config_path(self.config))
        package, name = Path(mmpose.__file__).parent, self.config.split('::')[1]
        roots = (package / '.mim' / 'configs', package.parent / 'configs')
        for root in roots:
            if (root / f'{name}.py').is_file():
                return root / f'{name}.py'
        raise ValueError(f'MMPose has no config {name} in {roots[0]}')


# Those that targets compare come first, so that they share a group of processes.
CONTESTANTS = (
    Contestant(
        'mmpose-litehrnet-18', 'MMPose LiteHRNet-18',
        f'{HEATMAP}litehrnet-18_8xb64-210e_coco-256x192', THEIRS_BOTH,
    ),
    Contestant(
        'litehrnet-18', 'Lite-HRNet-18',
        'litehrnet/td-hm_litehrnet-18_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'rtmpose-t', 'RTMPose-t', f'{RTMPOSE}t_8xb256-420e_coco-256x192', THEIRS
    ),
    Contestant(
        'xhrnet-s18', 'X-HRNet-S18',
        'xhrnet/td-hm_xhrnet-s18_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'mmpose-litehrnet-30', 'MMPose LiteHRNet-30',
        f'{HEATMAP}litehrnet-30_8xb64-210e_coco-256x192', THEIRS_BOTH,
    ),
    Contestant(
        'rtmpose-s', 'RTMPose-s', f'{RTMPOSE}s_8xb256-420e_coco-256x192', THEIRS
    ),
    Contestant(
        'mobilenetv2', 'MobileNetV2',
        f'{HEATMAP}mobilenetv2_8xb64-210e_coco-256x192', THEIRS,
    ),
    Contestant(
        'shufflenetv2', 'ShuffleNetV2',
        f'{HEATMAP}shufflenetv2_8xb64-210e_coco-256x192', THEIRS,
    ),
    Contestant(
        'hrnet-w32', 'HRNet-W32', f'{HEATMAP}hrnet-w32_8xb64-210e_coco-256x192', THEIRS
    ),
    Contestant(
        'litehrnet-30', 'Lite-HRNet-30',
        'litehrnet/td-hm_litehrnet-30_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'naive-litehrnet-18', 'Naive Lite-HRNet-18',
        'litehrnet/td-hm_naive-litehrnet-18_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'wider-naive-litehrnet-18', 'Wider Naive Lite-HRNet-18',
        'litehrnet/td-hm_wider-naive-litehrnet-18_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'xhrnet-s30', 'X-HRNet-S30',
        'xhrnet/td-hm_xhrnet-s30_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'xhrnet-p18', 'X-HRNet-P18',
        'xhrnet/td-hm_xhrnet-p18_8xb64-210e_coco-256x192',
        compiles=True,
    ),
    Contestant(
        'hrnas-mini-searched', 'HR-NAS, searched for 20 MMACs at 128x96',
        'hrnas/searched/td-hm_hrnas-mini-searched_1xb32-8e_lspet-128x96',
    ),
    Contestant(
        'simcc-litehrnet-18', 'Lite-HRNet-18 with SimCC',
        'simcc/simcc_litehrnet-18_8xb64-210e_coco-256x192',
    ),
    Contestant(
        'simcc-xhrnet-s18', 'X-HRNet-S18 with SimCC',
        'simcc/simcc_xhrnet-s18_8xb64-210e_coco-256x192',
    ),
    Contestant(
        'rtmcc-litehrnet-18', "Lite-HRNet-18 with RTMPose's head",
        'simcc/rtmcc_litehrnet-18_8xb64-210e_coco-256x192',
    ),
    Contestant(
        'rtmcc-xhrnet-s18', "X-HRNet-S18 with RTMPose's head",
        'simcc/rtmcc_xhrnet-s18_8xb64-210e_coco-256x192',
    ),
    Contestant(
        'hrnet-w32-psa-p', 'HRNet-W32 with PSA (p)',
        'psa/td-hm_hrnet-w32-psa-p_udp-8xb64-210e_coco-256x192',
    ),
    Contestant(
        'tokenpose-t', 'TokenPose-T',
        'tokenpose/td-hm_tokenpose-t_udp-4xb32-300e_coco-256x192',
    ),
    Contestant(
        'tokenpose-s-v1', 'TokenPose-S-v1',
        'tokenpose/td-hm_tokenpose-s-v1_udp-4xb32-300e_coco-256x192',
    ),
    Contestant(
        'tokenpose-s-v1-sparse', 'TokenPose-S-v1, both sparsities',
        'tokenpose/td-hm_tokenpose-s-v1-sparse_udp-4xb32-300e_coco-256x192',
        choosy=True,
    ),
    Contestant(
        'tokenpose-s-v1-token', 'TokenPose-S-v1, tokens dropped',
        'tokenpose/td-hm_tokenpose-s-v1-token_udp-4xb32-300e_coco-256x192',
        choosy=True,
    ),
    Contestant(
        'tokenpose-s-v2', 'TokenPose-S-v2',
        'tokenpose/td-hm_tokenpose-s-v2_udp-4xb12-300e_coco-256x192',
    ),
    Contestant(
        'tokenpose-b', 'TokenPose-B',
        'tokenpose/td-hm_tokenpose-b_udp-4xb32-300e_coco-256x192',
    ),
    Contestant(
        'tokenpose-l-d6', 'TokenPose-L-D6',
        'tokenpose/td-hm_tokenpose-l-d6_udp-4xb16-300e_coco-256x192',
    ),
)  # fmt: skip


def searched() -> tuple[Contestant, ...]:
    """Networks that HR-NAS found for COCO at 256x192, if some are in the zoo."""
    root = config_root()
    paths = sorted((root / 'hrnas' / 'searched').glob('*coco-256x192.py'))
    return tuple(
        Contestant(
            path.stem.removeprefix('td-hm_').split('_')[0],
            f'HR-NAS, {path.stem.removeprefix("td-hm_").split("_")[0]}',
            path.relative_to(root).as_posix(),
        )
        for path in paths
    )


def choose(
    names: Sequence[str], known: Iterable[Contestant] | None = None
) -> list[Contestant]:
    """Contestants by name or by pattern such as ``'xhrnet-*'``, in the table's order.

    Args:
        names: What to choose; nothing chooses all.
        known: Among whom; by default all.

    Raises:
        ValueError: If a name fits nobody; the message gives the nearest.
    """
    everyone = [*CONTESTANTS, *searched()] if known is None else list(known)
    chosen: set[str] = set()
    for wanted in names or ['*']:
        found = {c.name for c in everyone if fnmatchcase(c.name, wanted.lower())}
        if not found:
            present = [c.name for c in everyone]
            near = difflib.get_close_matches(wanted.lower(), present, 3, 0.3)
            raise ValueError(
                f'there is no contestant {wanted!r}; nearest: {near or present}'
            )
        chosen |= found
    return [c for c in everyone if c.name in chosen]


@cache
def _entries(folder: Path) -> dict[str, dict]:
    """Entries of all metafiles of a folder, by file name of the config."""
    entries = {}
    for path in sorted(folder.glob('*.yml')):
        data = yaml.safe_load(path.read_text(encoding='utf-8'))
        for entry in data.get('Models', []):
            entries[Path(entry['Config']).name] = entry
    return entries


def published(contestant: Contestant) -> tuple[float, str] | None:
    """AP on COCO val2017 (0 to 100) and who says so, from the metafile; None if nobody.

    With detector boxes and flip test.
    """
    path = contestant.path
    entry = _entries(path.parent).get(path.name, {})
    for result in entry.get('Results', []):
        ap = result['Metrics'].get('AP')
        if ap is not None:
            source = f'metafile of MMPose {mmpose.__version__}'
            if contestant.ours:
                source = entry['Metadata'].get('Published', 'metafile')
            return round(100 * ap, 1), source
    return None


def build(contestant: Contestant) -> nn.Module:
    """The pose estimator with random weights, always the same, in training mode.

    Norms over several processes become plain ones, which run anywhere.
    """
    init_default_scope('mmpose')
    config = Config.fromfile(contestant.path)
    torch.manual_seed(0)
    estimator = MODELS.build(config.model)
    return revert_sync_batchnorm(estimator)


def settle(estimator: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """Give batch norms the statistics of random images, as training would.

    With those of initialisation, activations of a deep network could shrink until they
    are denormal numbers, on which a processor is slow.

    Args:
        estimator: Its statistics change; it is put into eval mode.
        image_size: Height and width of the images.
    """
    torch.manual_seed(1)
    images = torch.randn(4, 3, *image_size)
    norms = [m for m in estimator.modules() if isinstance(m, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    estimator.train()
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        estimator(images, None, mode='tensor')
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    estimator.eval()
    return estimator
