"""Test published weights: ``check_published.py --model NAME --weights FILE``.

For owners of the data and of published files. Converts what must be converted, tests
through ``mim test`` with the model's own config, and prints what comes out beside what
was published for the file or, if its name is not known, for the model. The exit code is
1 if a figure deviates by more than the tolerance or a file does not fit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from mmpose_lite.checkpoints import convert_file
from mmpose_lite.io.files import write_atomically
from mmpose_lite.io.logs import read_scalars
from mmpose_lite.io.markdown import markdown_table
from mmpose_lite.loading import build_model, read_config
from mmpose_lite.mim import MimError, run_mim
from mmpose_lite.weights import locate_weights
from mmpose_lite.zoo import DETECTOR, GROUND_TRUTH, NARROW, Model, find_model

AGREES, DEVIATES, FAILED = 'agrees', 'deviates', 'failed'
NOT_COMPARABLE, NOTHING = 'not comparable', 'nothing published'
DETECTIONS = 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
HEADS = 'annotations/mpii_gt_val.mat'
# The research codes' "PCKh@0.1" is read at the twelfth threshold, which is 0.11; only
# MMPose's from July 2021 on is at 0.10.
MPII_CONFIG = """_base_ = [{base!r}]
test_evaluator = [
    dict(type='MpiiPCKAccuracy'),
    dict(type='MpiiPCKAccuracy', thr=0.11, prefix='0.11'),
]
"""


@dataclass(frozen=True)
class Part:
    """Validation part of a data set; paths are below its folder.

    Attributes:
        whole: How many images (COCO) or people (MPII) the whole part has.
        metrics: Published metric to its name in MMPose's log.
        unit: What the log's figures are a share of.
    """

    annotations: str
    images: str
    others: tuple[str, ...]
    whole: int
    metrics: Mapping[str, str]
    unit: int = 1

    def missing(self, root: Path) -> str:
        """Why figures compare with no published ones; ``''`` if the part is whole."""
        needed = (self.annotations, self.images, *self.others)
        if absent := [name for name in needed if not (root / name).exists()]:
            raise ValueError(
                f'{root} lacks {", ".join(absent)}; docs/data.md shows the folders'
            )
        content = json.loads((root / self.annotations).read_text(encoding='utf-8'))
        count = len(content['images'] if isinstance(content, dict) else content)
        return '' if count == self.whole else f'{count} of {self.whole} in the data'


PARTS = {
    'COCO': Part(
        'annotations/person_keypoints_val2017.json', 'val2017/', (), 5000,
        {'AP': 'coco/AP', 'AP@0.5': 'coco/AP .5', 'AP@0.75': 'coco/AP .75',
         'AR': 'coco/AR'},
    ),
    'MPII': Part(
        'annotations/mpii_val.json', 'images/', (HEADS,), 2958,
        {'PCKh@0.5': 'PCK', 'PCKh@0.1': 'PCK@0.1', 'PCKh@0.11': '0.11/PCK'},
        unit=100,
    ),
}  # fmt: skip


@dataclass
class Result:
    """One model with one file; figures are shares of 1, deviations points of 100.

    ``boxes`` are those of the published figures, ``used`` those of the test.
    """

    model: str
    file: str
    boxes: str
    source: str = ''
    published: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    layout: str = ''
    verdict: str = FAILED
    why: str = ''
    used: str = ''


def known(model: Model, weights: str) -> Result:
    """What was published for a file of this very name, else for its model."""
    name = Path(weights).name.removesuffix('.tar')
    called = {name, name.rpartition('.')[0]}
    file = next((f for f in model.files if called & {*f.names, f.alias}), None)
    boxes = file.boxes if file else DETECTOR
    source, published = model.source, model.metrics
    if file:
        published = file.metrics or published
        source = '; '.join(filter(None, (file.source or source, file.note)))
    boxes = GROUND_TRUTH if model.data == 'MPII' else boxes
    return Result(model.aliases[0], weights, boxes, source, dict(published))


def judge(result: Result, tolerance: float, missing: str = '') -> Result:
    """Compare with published figures within ``tolerance``, points of 100.

    ``missing`` says why figures of this test compare with none, if so.
    """
    result.deviations = {
        name: 100 * (result.measured[name] - value)
        for name, value in result.published.items()
        if name in result.measured
    }
    # Rounding must not decide; a NaN agrees with nothing.
    beyond = [
        f'{name} by {points:+.2f} points'
        for name, points in result.deviations.items()
        if not abs(points) <= tolerance + 1e-6
    ]
    if not result.published:
        result.verdict = NOTHING
    elif missing:
        result.verdict, result.why = NOT_COMPARABLE, missing
    elif beyond:
        result.verdict = DEVIATES
        result.why = f'{", ".join(beyond)}, allowed {tolerance:g}'
    else:
        result.verdict = AGREES
    return result


def check(args: argparse.Namespace, model: Model, weights: str) -> Result:
    """Convert, test and judge; what is wrong with a file becomes its result."""
    result = known(model, weights)
    part, root = PARTS[model.data], getattr(args, model.data.lower())
    boxes = args.boxes or result.boxes
    if model.data == 'MPII' or (boxes == DETECTOR and not args.detections):
        boxes = GROUND_TRUTH
    result.used = boxes
    work_dir = args.out / f'{result.model}-{Path(weights).name}'
    converted = work_dir / 'converted.pth'
    changes = {
        'test_dataloader.dataset.data_root': f'{root}/',
        'test_dataloader.dataset.ann_file': part.annotations,
        'test_dataloader.dataset.data_prefix.img': part.images,
        'test_dataloader.dataset.bbox_file': None,
    }
    if boxes == DETECTOR:
        changes['test_dataloader.dataset.bbox_file'] = args.detections
    config = model.config
    work_dir.mkdir(parents=True, exist_ok=True)
    if model.data == 'MPII':
        changes['test_dataloader.dataset.headbox_file'] = root / HEADS
        config = str(work_dir / 'judged.py')
        write_atomically(config, MPII_CONFIG.format(base=model.config).encode())
    else:
        changes['test_evaluator.ann_file'] = root / part.annotations
    if boxes == NARROW:
        narrow = work_dir / 'narrow.json'
        write_atomically(narrow, narrower((root / part.annotations).read_bytes()))
        changes['test_dataloader.dataset.ann_file'] = narrow
    options = [*(f'{key}={value}' for key, value in changes.items()), *args.cfg_options]
    try:
        network = build_model(read_config(model.config))
        weights = locate_weights(weights)
        result.layout = convert_file(weights, converted, network).layout.name
        words = ('--checkpoint', str(converted))
        run_mim('test', config, work_dir, *words, options=options, gpus=args.gpus)
    except (ValueError, OSError, ImportError, MimError) as error:
        result.why = str(error)
        return result
    found = read_scalars(work_dir)[-1]
    result.measured = {
        name: found[logged] / part.unit for name, logged in part.metrics.items()
    }
    missing = args.missing[model.data]
    if boxes != result.boxes:
        missing = missing or f'published with other boxes: {result.boxes}'
    return judge(result, args.tolerance, missing)


def narrower(annotations: bytes) -> bytes:
    """COCO annotations with boxes as older codes take them, see :data:`NARROW`."""
    content = json.loads(annotations)
    for one in content.get('annotations', ()):
        x, y, width, height = one['bbox']
        one['bbox'] = [x, y, max(width - 1, 0), max(height - 1, 0)]
    return json.dumps(content).encode()


def report(results: Sequence[Result]) -> str:
    """All results as a table, with the reasons below it."""
    rows, notes = [], []
    for result in results:
        name = f'{result.model} ({Path(result.file).name})'
        for metric, value in result.measured.items():
            figures = ('–', '–')
            if metric in result.published:
                published, points = result.published[metric], result.deviations[metric]
                figures = (f'{100 * published:.1f}', f'{points:+.2f}')
            ours = f'{100 * value:.1f}'
            rows.append((name, result.used, metric, ours, *figures, result.verdict))
        source = f'Published: {result.source}' if result.source else ''
        said = '. '.join(filter(None, (result.why, source)))
        notes.append(f'{name}: {result.verdict}{": " * bool(said)}{said}')
    head = ('file', 'boxes', 'metric', 'ours', 'published', 'deviation', 'verdict')
    table = markdown_table(head, rows, aligned=False)
    return '\n'.join([*([table, ''] if rows else []), *notes])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add, coco, mpii = parser.add_argument, Path('data/coco'), Path('data/mpii')
    again = dict(action='append', required=True)
    add('--model', **again, metavar='NAME', help='name in the zoo; may be repeated')
    add('--weights', **again, metavar='FILE', help='its weights, once for each --model')
    add('--coco', type=Path, default=coco, help='folder, see docs/data.md (data/coco)')
    add('--mpii', type=Path, default=mpii, help='likewise (data/mpii)')
    boxes = parser.add_mutually_exclusive_group()
    said = "a detector's boxes on COCO (those that MMPose names, if they exist)"
    boxes.add_argument('--detections', type=Path, metavar='FILE', help=said)
    rule = partial(boxes.add_argument, dest='boxes', action='store_const')
    said = 'those of the annotations, whatever was published'
    rule('--ground-truth-boxes', const=GROUND_TRUTH, help=said)
    said = 'the same, one pixel narrower, as in older codes'
    rule('--narrow-boxes', const=NARROW, help=said)
    add('--tolerance', type=float, default=0.5, help='allowed points of 100 (0.5)')
    add('--gpus', type=int, default=0, help='0 for the CPU (0)')
    add('--out', type=Path, default=Path('work_dirs/published'), metavar='DIR')
    said = "more settings for mim's, such as test_dataloader.batch_size=16"
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help=said)
    args = parser.parse_args()
    if len(args.model) != len(args.weights):
        parser.error('every --model must have its --weights')
    for name in ('coco', 'mpii', 'out'):
        setattr(args, name, getattr(args, name).resolve())
    if args.detections is None:
        usual = args.coco / DETECTIONS
        args.detections = usual if usual.is_file() else None
    elif args.detections and not args.detections.is_file():
        parser.error(f'--detections {args.detections} is no file')
    args.detections = args.detections and args.detections.resolve()
    return args


def main() -> int:
    """Test and compare; 1 if something deviates or does not fit."""
    args = parse_args()
    try:
        models = [find_model(name) for name in args.model]
        for model in models:
            if model.data not in PARTS:
                raise ValueError(f'{model.name} is no model of COCO or MPII in the zoo')
        args.missing = {
            name: PARTS[name].missing(getattr(args, name.lower()))
            for name in {model.data for model in models}
        }
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    results: list[Result] = []
    for model, weights in zip(models, args.weights, strict=True):
        print(f'== {len(results) + 1}/{len(models)} {model.aliases[0]}', flush=True)
        results.append(check(args, model, weights))
        content = dict(tolerance=args.tolerance, results=[*map(asdict, results)])
        text = json.dumps(content, indent=1, ensure_ascii=False)
        args.out.mkdir(parents=True, exist_ok=True)
        write_atomically(args.out / 'results.json', text.encode())
    print(f'\n{report(results)}\n\n{args.out / "results.json"}')
    return int(any(one.verdict in (DEVIATES, FAILED) for one in results))


if __name__ == '__main__':
    sys.exit(main())
