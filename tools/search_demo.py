"""Search, export, retrain, test: ``python tools/search_demo.py --target-macs 20e6``.

Runs a whole search with HR-NAS through mim and holds the result against the supernet
thinned by the same share everywhere to the same cost: both are trained from scratch
with the search's schedule, once per seed, and tested. Without further options it draws
toy people and needs no download. Steps whose result is there are not done again, so a
killed run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mmengine.config import Config

from mmpose_lite.datasets import generate_toy_coco
from mmpose_lite.files import write_atomically
from mmpose_lite.models.backbones.hrnas_arch import (
    dump_arch,
    parse_arch,
    read_arch,
    resolve_space,
)
from mmpose_lite.search import MacsCost, uniform_arch

ROOT = Path(__file__).resolve().parents[1]
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
        self.began = time.monotonic()
        self.steps = 3 + 2 * len(args.seeds)
        self.done = 0
        root = f'{args.data.rstrip("/")}/'
        loaders = ('train', 'val', 'test')
        self.data = [f'{name}_dataloader.dataset.data_root={root}' for name in loaders]
        evaluator = Config.fromfile(args.config).val_evaluator
        if isinstance(evaluator, dict) and 'ann_file' in evaluator:
            ann = f'{root}annotations/person_keypoints_val.json'
            self.data += [f'{name}_evaluator.ann_file={ann}' for name in loaders[1:]]

    def say(self, what: str) -> None:
        """Announce a step, with the time that the rest will take at this pace."""
        passed = time.monotonic() - self.began
        # Before the search ends there is nothing to tell its pace by.
        left = passed / self.done * (self.steps - self.done) if self.done > 2 else None
        self.done += 1
        rest = '' if left is None else f', about {left / 60:.0f} min left'
        print(f'== {self.done}/{self.steps} {what} ({passed:.0f} s{rest})', flush=True)

    def run(self, *words: str, log: Path) -> None:
        """Run a command; its end is shown only if it fails."""
        log.parent.mkdir(parents=True, exist_ok=True)
        env = {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', **os.environ}
        with log.open('w') as file:
            code = subprocess.run(
                words, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=env
            ).returncode
        if code:
            print('\n'.join(log.read_text().splitlines()[-30:]), file=sys.stderr)
            sys.exit(f'{words[1]} failed; its log is {log}')

    def mim(
        self, command: str, config: Path | str, work_dir: Path, *words: str, **options
    ) -> None:
        """``mim train`` or ``mim test`` on the CPU."""
        settings = [f'{k.replace("__", ".")}={v}' for k, v in options.items()]
        self.run(
            str(Path(sys.executable).parent / 'mim'),
            *(command, 'mmpose', str(config), '--gpus', '0', '--work-dir'),
            *(str(work_dir), *words, '--cfg-options', *self.data, *settings),
            log=work_dir.with_suffix(f'.{command}.log'),
        )

    def search(self) -> Path:
        """Search; returns the last checkpoint."""
        work_dir = self.args.out / 'search'
        pointer = work_dir / 'last_checkpoint'
        epochs = Config.fromfile(self.args.config).train_cfg.max_epochs
        if not (work_dir / f'epoch_{epochs}.pth').exists():
            target = self.args.target_macs
            options = dict(model__resource__target__macs=target)
            self.mim('train', self.args.config, work_dir, '--resume', **options)
        return Path(pointer.read_text())

    def export(self, checkpoint: Path) -> tuple[Path, Path]:
        """Write the searched and the uniform network as configs of their own."""
        folder = self.args.out / 'searched'
        if not folder.exists():
            tool = str(ROOT / 'tools' / 'export_arch.py')
            words = (sys.executable, tool, str(checkpoint), str(folder))
            self.run(*words, log=self.args.out / 'export.log')
        searched = next(folder.glob('*.py'))
        cfg = Config.fromfile(searched)
        found = read_arch(folder / 'arch.json')
        space = resolve_space(found['space'])
        width, height = found['input_size']
        cost = MacsCost((height, width))
        reached = cost.network(space, parse_arch(space, found['blocks']))
        arch = dump_arch(space, uniform_arch(space, cost, reached), (width, height))
        cfg.model.backbone.arch = arch['blocks']
        uniform = self.args.out / 'uniform.py'
        write_atomically(uniform, cfg.pretty_text.encode())
        print((self.args.out / 'export.log').read_text().strip())
        return searched, uniform

    def retrain(self, name: str, config: Path, seed: int) -> float:
        """Train from scratch and test; returns the metric."""
        work_dir = self.args.out / f'{name}-{seed}'
        result = work_dir / 'result.json'
        if not result.exists():
            self.mim('train', config, work_dir, '--resume', randomness__seed=seed)
            checkpoint = (work_dir / 'last_checkpoint').read_text()
            tested = work_dir / 'test'
            self.mim('test', config, tested, '--checkpoint', checkpoint)
            lines = max(tested.glob('*/*.json')).read_text().splitlines()
            write_atomically(result, lines[-1].encode())
        return float(json.loads(result.read_text())[self.args.metric])


def main() -> None:
    """Run all steps and print the table."""
    args = parse_args()
    args.out = args.out.resolve()
    demo = Demo(args)
    demo.say('data')
    if args.config == TOY and not Path(args.data).exists():
        generate_toy_coco(args.data, args.train, args.val)
    demo.say('search')
    checkpoint = demo.search()
    demo.say('export')
    configs = dict(zip(('searched', 'uniform'), demo.export(checkpoint), strict=True))
    found: dict[str, list[float]] = {name: [] for name in configs}
    for seed in args.seeds:
        for name, config in configs.items():
            demo.say(f'training of the {name} network, seed {seed}')
            found[name].append(demo.retrain(name, config, seed))
    print(f'\n{args.metric} at {args.target_macs:.3g} MACs, seeds {args.seeds}')
    for name, values in found.items():
        spread = f' ± {stdev(values):.4f}' if len(values) > 1 else ''
        listed = ', '.join(f'{value:.4f}' for value in values)
        print(f'{name:9} {mean(values):.4f}{spread}  ({listed})')
    write_atomically(args.out / 'results.json', json.dumps(found).encode())


if __name__ == '__main__':
    main()
