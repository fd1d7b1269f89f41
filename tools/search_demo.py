"""Search, export, retrain, test: ``python tools/search_demo.py --target-macs 20e6``.

Runs a whole search with HR-NAS through mim and holds the result against the supernet
thinned by the same share everywhere to the same cost: ``compare_models.py`` trains both
from scratch with the search's schedule, once per seed, and tests them. Without further
options it draws toy people and needs no download. Finished steps are skipped, so a
killed run goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import compare_models
from mmengine.config import Config

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.io.files import write_atomically
from mmpose_lite.mim import MimError, run_mim
from mmpose_lite.models.backbones.hrnas_arch import (
    dump_arch,
    parse_arch,
    read_arch,
    resolve_space,
)
from mmpose_lite.paths import config_path
from mmpose_lite.search import MacsCost, uniform_arch, write_retraining

TOY = config_path('td-hm_hrnas-mini_1xb16-6e_toy-128x96')


def search(config: str, out: Path, data: Path, target: float) -> Path:
    """Search through mim; returns the last checkpoint."""
    cfg, work_dir = Config.fromfile(config), out / 'search'
    options = [f'model.resource.target.macs={target}']
    for name in ('train', 'val', 'test'):
        options.append(f'{name}_dataloader.dataset.data_root={data}/')
        if name != 'train' and 'ann_file' in cfg.val_evaluator:
            labels = data / 'annotations' / 'person_keypoints_val.json'
            options.append(f'{name}_evaluator.ann_file={labels}')
    last = work_dir / f'epoch_{cfg.train_cfg.max_epochs}.pth'
    if not last.exists():
        run_mim('train', config, work_dir, '--resume', options=options)
    return last


def export(checkpoint: Path, out: Path) -> tuple[Path, Path]:
    """Write the searched and the uniform network as configs of their own."""
    folder = out / 'searched'
    if not folder.exists():
        write_retraining(checkpoint, folder)
    searched = next(folder.glob('*.py'))
    found = read_arch(folder / 'arch.json')
    space = resolve_space(found['space'])
    width, height = found['input_size']
    cost = MacsCost((height, width))
    reached = cost.network(space, parse_arch(space, found['blocks']))
    thinned = uniform_arch(space, cost, reached)
    cfg = Config.fromfile(searched)
    cfg.model.backbone.arch = dump_arch(space, thinned, (width, height))
    uniform = out / 'uniform.py'
    write_atomically(uniform, cfg.pretty_text.encode())
    return searched, uniform


def main() -> int:
    """Run all steps; 1 if a training failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--target-macs', type=float, required=True)
    add('--config', default=TOY, help='config of the search')
    add('--seeds', nargs='+', default=['0'], help='retrainings')
    add('--metric', default='coco/AP', help='what is compared')
    add('--out', type=Path, default=Path('work_dirs/search_demo'))
    add('--data', type=Path, default=Path('data/toy-search'), help="the data's root")
    args = parser.parse_args()
    out, data = args.out.resolve(), args.data.resolve()
    if args.config == TOY and not data.exists():
        generate_toy_coco(data, num_train=800, num_val=150)
    try:
        configs = export(search(args.config, out, data, args.target_macs), out)
    except MimError as error:
        sys.exit(str(error))
    words = ['--out', str(out / 'results'), '--metrics', args.metric]
    return compare_models.main([*map(str, configs), *words, '--seeds', *args.seeds])


if __name__ == '__main__':
    sys.exit(main())
