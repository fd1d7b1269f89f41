"""Search, export, retrain, test: ``python tools/search_demo.py --target-macs 20e6``.

Runs a whole search with HR-NAS through mim and holds the result against the supernet
thinned by the same share everywhere to the same cost: both are trained from scratch
with the search's schedule, once per seed, and tested. Without further options it draws
toy people and needs no download. Finished steps are skipped, so a killed run goes on
where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, stdev

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mim_runs import Progress, StepFailed, exit_when_terminated, mim, train_and_test
from mmengine.config import Config

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.io.files import write_atomically
from mmpose_lite.models.backbones.hrnas_arch import (
    dump_arch,
    parse_arch,
    read_arch,
    resolve_space,
)
from mmpose_lite.search import MacsCost, uniform_arch, write_retraining

TOY = 'configs/hrnas/td-hm_hrnas-mini_1xb16-6e_toy-128x96.py'


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--target-macs', type=float, required=True)
    parser.add_argument('--config', default=TOY, help='config of the search')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='retrainings')
    parser.add_argument('--metric', default='coco/AP', help='what is compared')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/search_demo'))
    parser.add_argument('--data', default='data/toy-search/', help="the data's root")
    parser.add_argument('--train', type=int, default=800, help='toy images to train on')
    parser.add_argument('--val', type=int, default=150, help='held-out toy images')
    return parser.parse_args()


class Demo:
    """The steps, with what they share."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.progress = Progress(3 + 2 * len(args.seeds))
        root = f'{args.data.rstrip("/")}/'
        loaders = ('train', 'val', 'test')
        self.data = [f'{name}_dataloader.dataset.data_root={root}' for name in loaders]
        evaluator = Config.fromfile(args.config).val_evaluator
        if isinstance(evaluator, dict) and 'ann_file' in evaluator:
            ann = f'{root}annotations/person_keypoints_val.json'
            self.data += [f'{name}_evaluator.ann_file={ann}' for name in loaders[1:]]

    def search(self) -> Path:
        """Search; returns the last checkpoint."""
        work_dir = self.args.out / 'search'
        pointer = work_dir / 'last_checkpoint'
        epochs = Config.fromfile(self.args.config).train_cfg.max_epochs
        if not (work_dir / f'epoch_{epochs}.pth').exists():
            target = self.args.target_macs
            options = [*self.data, f'model.resource.target.macs={target}']
            mim('train', self.args.config, work_dir, '--resume', options=options)
        return Path(pointer.read_text())

    def export(self, checkpoint: Path) -> tuple[Path, Path]:
        """Write the searched and the uniform network as configs of their own."""
        folder = self.args.out / 'searched'
        if not folder.exists():
            write_retraining(checkpoint, folder)
        searched = next(folder.glob('*.py'))
        cfg = Config.fromfile(searched)
        found = read_arch(folder / 'arch.json')
        space = resolve_space(found['space'])
        width, height = found['input_size']
        cost = MacsCost((height, width))
        reached = cost.network(space, parse_arch(space, found['blocks']))
        thinned = uniform_arch(space, cost, reached)
        cfg.model.backbone.arch = dump_arch(space, thinned, (width, height))
        uniform = self.args.out / 'uniform.py'
        write_atomically(uniform, cfg.pretty_text.encode())
        return searched, uniform

    def retrain(self, name: str, config: Path, seed: int) -> float:
        """Train from scratch and test; returns the metric."""
        work_dir = self.args.out / f'{name}-{seed}'
        found = train_and_test(config, work_dir, seed, self.data)
        return found[self.args.metric]


def compare(args: argparse.Namespace) -> None:
    """Run all steps and print the table."""
    demo = Demo(args)
    demo.progress.say('data')
    if args.config == TOY and not Path(args.data).exists():
        generate_toy_coco(args.data, args.train, args.val)
    demo.progress.say('search')
    checkpoint = demo.search()
    demo.progress.say('export')
    configs = dict(zip(('searched', 'uniform'), demo.export(checkpoint), strict=True))
    found: dict[str, list[float]] = {name: [] for name in configs}
    for seed in args.seeds:
        for name, config in configs.items():
            demo.progress.say(f'training of the {name} network, seed {seed}')
            found[name].append(demo.retrain(name, config, seed))
    print(f'\n{args.metric} at {args.target_macs:.3g} MACs, seeds {args.seeds}')
    for name, values in found.items():
        spread = f' ± {stdev(values):.4f}' if len(values) > 1 else ''
        listed = ', '.join(f'{value:.4f}' for value in values)
        print(f'{name:9} {mean(values):.4f}{spread}  ({listed})')
    write_atomically(args.out / 'results.json', json.dumps(found).encode())


def main() -> None:
    """Compare; if a step fails, show the end of what it said."""
    args = parse_args()
    args.out = args.out.resolve()
    exit_when_terminated()
    try:
        compare(args)
    except StepFailed as failed:
        sys.exit(str(failed))


if __name__ == '__main__':
    main()
