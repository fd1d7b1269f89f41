"""Who takes part in the benchmark: networks of this package and of MMPose."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mmpose
import torch
import yaml
from mmengine.config import Config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..loading import build_model
from ..zoo import find_model

AP_SIZE = (256, 192)
"""Height and width of the images that published AP holds for."""


@dataclass(frozen=True)
class Contestant:
    """A network that takes part.

    Attributes:
        name: For the command line; of ours, the name in the zoo.
        mmpose: Of MMPose's networks the config, without its suffix.
        config: Of ours that are not in the zoo, the config.
        straightforward: Whether it is also exported as ``torch.onnx.export`` leaves it
            with batch norms kept.
        choosy: Whether it chooses (tokens, say), so that rounding may change what it
            computes and outputs of two engines are not comparable.
        compiles: Whether the native compiler can compile all of it.
    """

    name: str
    title: str
    mmpose: str = ''
    config: str = ''
    straightforward: bool = False
    choosy: bool = False
    compiles: bool = False
    training: bool = False

    @property
    def ours(self) -> bool:
        """Whether the network is of this package."""
        return not self.mmpose

    @property
    def path(self) -> Path:
        """The config file; ValueError if MMPose does not have it."""
        if self.ours:
            return Path(find_model(self.config or self.name).config)
        package = Path(mmpose.__file__).parent
        roots = (package / '.mim' / 'configs', package.parent / 'configs')
        name = f'body_2d_keypoint/{self.mmpose}.py'
        found = [root / name for root in roots if (root / name).is_file()]
        if not found:
            raise ValueError(f'MMPose has no config {self.mmpose} in {roots[0]}')
        return found[0]


def _heatmaps(name: str, title: str, stem: str, **more: bool) -> Contestant:
    config = f'topdown_heatmap/coco/td-hm_{stem}_8xb64-210e_coco-256x192'
    return Contestant(name, title, config, **more)


def _rtmpose(size: str) -> Contestant:
    config = f'rtmpose/coco/rtmpose-{size}_8xb256-420e_coco-256x192'
    return Contestant(f'rtmpose-{size}', f'RTMPose-{size}', config)


_lite = partial(Contestant, compiles=True)
_choosy = partial(Contestant, choosy=True)
CONTESTANTS = (
    _heatmaps('mmpose-litehrnet-18', 'MMPose LiteHRNet-18', 'litehrnet-18',
              straightforward=True, training=True),
    _lite('litehrnet-18', 'Lite-HRNet-18', training=True),
    _rtmpose('t'),
    _lite('xhrnet-s18', 'X-HRNet-S18'),
    _heatmaps('mmpose-litehrnet-30', 'MMPose LiteHRNet-30', 'litehrnet-30',
              straightforward=True),
    _rtmpose('s'),
    _heatmaps('mobilenetv2', 'MobileNetV2', 'mobilenetv2'),
    _heatmaps('shufflenetv2', 'ShuffleNetV2', 'shufflenetv2'),
    _heatmaps('hrnet-w32', 'HRNet-W32', 'hrnet-w32'),
    _lite('litehrnet-30', 'Lite-HRNet-30'),
    _lite('naive-litehrnet-18', 'Naive Lite-HRNet-18'),
    _lite('wider-naive-litehrnet-18', 'Wider Naive Lite-HRNet-18'),
    _lite('xhrnet-s30', 'X-HRNet-S30'),
    _lite('xhrnet-p18', 'X-HRNet-P18'),
    Contestant('hrnas-mini-searched', 'HR-NAS, searched for 20 MMACs at 128x96',
               config='td-hm_hrnas-mini-searched_1xb32-8e_lspet-128x96'),
    Contestant('simcc-litehrnet-18', 'Lite-HRNet-18 with SimCC'),
    Contestant('simcc-xhrnet-s18', 'X-HRNet-S18 with SimCC'),
    Contestant('rtmcc-litehrnet-18', "Lite-HRNet-18 with RTMPose's head"),
    Contestant('rtmcc-xhrnet-s18', "X-HRNet-S18 with RTMPose's head"),
    Contestant('hrnet-w32-psa-p', 'HRNet-W32 with PSA (p)'),
    Contestant('tokenpose-t', 'TokenPose-T'),
    Contestant('tokenpose-s-v1', 'TokenPose-S-v1'),
    _choosy('tokenpose-s-v1-sparse', 'TokenPose-S-v1, both sparsities'),
    _choosy('tokenpose-s-v1-token', 'TokenPose-S-v1, tokens dropped'),
    Contestant('tokenpose-s-v2', 'TokenPose-S-v2'),
    Contestant('tokenpose-b', 'TokenPose-B'),
    Contestant('tokenpose-l-d6', 'TokenPose-L-D6'),
)  # fmt: skip


def choose(names: Sequence[str] = ()) -> tuple[Contestant, ...]:
    """Contestants by name or by pattern such as ``'xhrnet-*'``, in the table's order.

    Args:
        names: What to choose; nothing chooses all of the table. A path of a config, or
            another name of the zoo, takes part too, after those of the table.

    Raises:
        ValueError: If a name fits nobody; the message gives the nearest.
    """
    known = [one.name for one in CONTESTANTS]
    chosen: set[str] = set()
    more: list[Contestant] = []
    for wanted in names or ['*']:
        if found := fnmatch.filter(known, wanted.lower()):
            chosen.update(found)
            continue
        try:
            model = find_model(wanted)
        except ValueError:
            near = difflib.get_close_matches(wanted.lower(), known, 3, 0.3)
            what = f'there is no contestant {wanted!r}, nor such a config'
            raise ValueError(f'{what}; nearest: {near or known}') from None
        more.append(Contestant(model.name, model.name, config=wanted))
    return (*(one for one in CONTESTANTS if one.name in chosen), *more)


def published_ap(contestant: Contestant) -> float | None:
    """AP on COCO val2017 with detector boxes and flip test, 0 to 100, by metafiles."""
    found = None
    if contestant.ours:
        found = find_model(contestant.config or contestant.name).metrics.get('AP')
    else:
        path = contestant.path
        for file in path.parent.glob('*.yml'):
            for entry in yaml.safe_load(file.read_text(encoding='utf-8'))['Models']:
                if Path(entry['Config']).name == path.name:
                    found = entry['Results'][0]['Metrics']['AP']
    return None if found is None else round(100 * found, 1)


def build(contestant: Contestant) -> nn.Module:
    """The pose estimator with random weights, always the same, in training mode."""
    torch.manual_seed(0)
    return build_model(Config.fromfile(contestant.path))


def settle(estimator: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """Give batch norms the statistics of random images, as training would; eval mode.

    With those of initialisation, activations of a deep network could shrink until they
    are denormal numbers, on which a processor is slow.
    """
    torch.manual_seed(1)
    images = torch.randn(4, 3, *image_size)
    for module in estimator.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        estimator.train()(images, None, mode='tensor')
    return estimator.eval()
