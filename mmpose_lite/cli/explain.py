"""Draw what a model looked at when it predicted a person.

Below the skeleton and its heatmaps stand, by family, attention, what pruning kept,
gates, or the searched architecture. A random model shows the method but no knowledge.

  mmpose-lite explain photo.jpg --model xhrnet-s18 --weights best.pth --out gates.png
  mmpose-lite explain --model config.py --only pruning --out kept.png
  mmpose-lite explain searched/arch.json --architecture --out arch.png
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, DictAction

from ..analysis import complexity
from ..checkpoints import read_checkpoint
from ..data import render_toy_image
from ..data.coco import corners, read_coco
from ..explain.architecture import draw_architecture
from ..explain.family import explain, families
from ..explain.figure import draw_explanation
from ..io.images import read_image, save_image
from ..loading import load_model
from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import read_arch
from ..search.retrain import architecture_of
from ..zoo import find_model
from .common import add_device, at_least, pixels, positive, quiet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    source = 'images of one person each, or with --box or --coco; a toy person if none;'
    source += ' with --architecture an arch.json, a config, or a checkpoint of HR-NAS'
    add('sources', nargs='*', metavar='SOURCE', help=source)
    model = 'name or alias in the zoo, a config; of the search, for a checkpoint that '
    add('--model', '--config', help=f'{model}names no architecture')
    add('--weights', '--checkpoint', help='checkpoint; random weights if not given')
    add('--out', required=True, help='PNG')
    add('--box', type=float, nargs=4, metavar=('X1', 'Y1', 'X2', 'Y2'), help='px')
    add('--coco', help='COCO annotations of the images, which are found by name')
    add('--count', type=positive, help='people at most, below each other')
    add('--skip', type=at_least(0), default=0, help='people to pass over before them')
    chosen = 'to show one by one; four if not given'
    add('--keypoints', '--query', nargs='+', metavar='NAME', help=chosen)
    only = 'one of the families of the model to show alone, such as pruning'
    add('--only', action='append', metavar='FAMILY', help=only)
    changes = 'entries of the config, such as model.head.sparse_cfg.mode=mask'
    add('--cfg-options', nargs='+', action=DictAction, default={}, help=changes)
    add('--architecture', action='store_true', help='draw a network of HR-NAS')
    size = 'of --architecture, where SOURCE does not know it'
    add('--input-size', type=pixels, nargs=2, metavar=('W', 'H'), help=size)
    add('--title', help='first line of the picture')
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    picture = _architecture(args) if args.architecture else _explained(args)
    save_image(args.out, picture)
    print(args.out)


def _explained(args: argparse.Namespace) -> np.ndarray:
    """People below each other, and what led to their predictions."""
    if args.model is None:
        raise ValueError('--model is missing: a name in the zoo, or a config')
    quiet()
    torch.manual_seed(0)
    found = find_model(args.model)
    model: Any = load_model(
        found.config, args.weights, device=args.device, options=args.cfg_options
    )
    title = args.title or (found.aliases[0] if found.aliases else found.name)
    kinds = ', '.join(args.only or families(model)) or 'heatmaps only'
    weights = 'random: this shows the method, not what a trained model knows'
    if args.weights:
        weights = Path(args.weights).name
    most = args.count if args.sources else args.count or 1
    stop = None if most is None else args.skip + most
    pictures = []
    for name, image, box in islice(_people(args), args.skip, stop):
        explained = explain(model, image, box, args.keypoints, args.only)
        caption = f'{kinds} · weights: {weights} · {name}'
        pictures.append(draw_explanation(explained, model.dataset_meta, title, caption))
    if not pictures:
        raise ValueError('there are no people: see --coco, --count and --skip')
    return np.concatenate(pictures)


def _people(
    args: argparse.Namespace,
) -> Iterator[tuple[str, np.ndarray, Sequence[float] | None]]:
    """Name of an image, the image, and the box of a person."""
    known = {}
    if args.coco:
        images = read_coco(args.coco)
        known = {Path(image.name).name: image.people for image in images}
    for path in map(Path, args.sources):
        image = read_image(path)
        boxes: list[Sequence[float] | None] = [args.box]
        if args.coco:
            if path.name not in known:
                raise ValueError(f'--coco {args.coco} has no image {path.name}')
            boxes = [person.box for person in known[path.name]]
        yield from ((path.name, image, box) for box in boxes)
    for index in () if args.sources else count():
        sample = render_toy_image(0, 'val', index)
        for person in sample.persons:
            yield f'toy image {index}', sample.image, corners(person.bbox)


def _architecture(args: argparse.Namespace) -> np.ndarray:
    """What is left of every block of a network of HR-NAS."""
    if len(args.sources) != 1:
        raise ValueError(f'--architecture draws one SOURCE, got {args.sources}')
    source = Path(args.sources[0])
    net, size = _network(source, args.model)
    size = args.input_size or size
    cost = f'{sum(p.numel() for p in net.parameters()) / 1e6:.3f} M parameters'
    if size:
        macs = complexity(net, (size[1], size[0])).macs / 1e9
        cost = f'{macs:.3f} GMACs · {cost} at {size[1]}x{size[0]} (H x W)'
    texts = (args.title or source.stem, f'{cost}, without the head')
    image_size = (size[1], size[0]) if size else None
    return draw_architecture(net.space, net.arch, *texts, image_size)


def _network(source: Path, config: str | None) -> tuple[HRNASNet, Sequence[int] | None]:
    """The network that a file describes, and its image size (W, H) if it knows one."""
    if source.suffix == '.json':
        arch = read_arch(source)
        return HRNASNet(arch), arch.get('input_size')
    if source.suffix == '.py':
        model = Config.fromfile(source).model
        net = HRNASNet(model.backbone.get('arch'), model.backbone.get('space'))
        return net, model.head.decoder.input_size
    arch = architecture_of(read_checkpoint(source), config)
    return HRNASNet(arch), arch['input_size']
