"""Test published weights: ``python tools/check_published.py --coco DIR --weights DIR``.

For owners of the data and of published files. Finds out by their names which model each
file belongs to, converts what must be converted, tests through MMPose's Runner and
prints what comes out beside what was published. The exit code is 1 if a figure deviates
by more than the tolerance or a file does not fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from published import verdicts
from published.data import Data, open_coco, open_mpii
from published.found import Found, assign, weight_files
from published.running import run, settings
from zoo.metafiles import ROOT, families

from mmpose_lite.io.files import write_atomically


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--coco', type=Path, metavar='DIR', help='COCO, laid out as docs/data.md says')
    add('--mpii', type=Path, metavar='DIR', help='MPII, likewise')
    add('--weights', type=Path, metavar='DIR', required=True, help='published files')
    add(
        '--detections', type=Path, metavar='FILE',
        help='detector boxes for COCO; the ones MMPose names, if they are there',
    )  # fmt: skip
    add(
        '--ground-truth-boxes', action='store_true',
        help='use no detector boxes; then most figures cannot be compared',
    )  # fmt: skip
    add(
        '--tolerance', type=float, default=0.5,
        help='allowed deviation in points of a hundred (0.5)',
    )  # fmt: skip
    add('--batch-size', type=int, help="people at a time; the config's if not given")
    add('--workers', type=int, default=2, help='processes that load images')
    add('--list', action='store_true', help='only say which file is which model')
    add('--out', type=Path, default=ROOT / 'work_dirs' / 'published', metavar='DIR')
    args = parser.parse_args()
    if not (args.coco or args.mpii):
        parser.error('nothing to test on: give --coco DIR, --mpii DIR or both')
    if args.detections and args.ground_truth_boxes:
        parser.error('--detections and --ground-truth-boxes exclude each other')
    return args


def open_data(args: argparse.Namespace) -> dict[str, Data]:
    """Data sets that were given, by name."""
    data = {}
    if args.coco:
        data['COCO'] = open_coco(args.coco, args.detections, args.ground_truth_boxes)
    if args.mpii:
        data['MPII'] = open_mpii(args.mpii)
    return data


def sort_out(folder: Path, data: dict[str, Data]) -> tuple[list[Found], dict[str, str]]:
    """Files that can be tested, and why the others cannot."""
    models = [model for family in families() for model in family.models]
    found, rest = [], {}
    for path in weight_files(folder):
        try:
            one = assign(path, models)
        except ValueError as error:
            rest[str(path)] = str(error)
            continue
        if one.model.data in data:
            found.append(one)
        else:
            option = f'--{one.model.data.lower()}'
            rest[str(path)] = f'{one.model.aliases[0]}, but {option} is not given'
    return found, rest


def check_one(
    args: argparse.Namespace,
    found: Found,
    data: Data,
    begin: Callable[[int], None],
    advance: Callable[[int], None],
) -> verdicts.Result:
    """Test a file and judge the figures; what is wrong with it becomes the result."""
    started = time.monotonic()
    # The path tells apart files of one name in several folders.
    name = '-'.join(found.path.relative_to(args.weights).parts)
    work_dir = args.out / f'{found.model.aliases[0]}-{name}'
    try:
        cfg = settings(found, data, work_dir, args.batch_size, args.workers)
        layout, measured = run(cfg, found, begin, advance)
        result = verdicts.judge(found, data, measured, args.tolerance)
        result.layout = layout
    except (ValueError, OSError, ImportError) as error:
        name = found.model.aliases[0]
        result = verdicts.Result(name, str(found.path), verdicts.FAILED, str(error))
    result.seconds = round(time.monotonic() - started, 1)
    return result


def check_all(
    args: argparse.Namespace,
    found: list[Found],
    data: dict[str, Data],
    save: Callable[[list[verdicts.Result]], None],
) -> list[verdicts.Result]:
    """One after the other; results are saved whenever there is a new one."""
    columns = (TextColumn('{task.description}'), BarColumn(), TaskProgressColumn())
    sets = [data[one.model.data] for one in found]
    # A person costs the model's MACs: so the time left is known for those to come, too.
    costs = [
        part.people[part.boxes_for(one.boxes)] * one.model.macs
        for one, part in zip(found, sets, strict=True)
    ]
    results: list[verdicts.Result] = []
    with Progress(*columns, TimeLeft(), console=Console(stderr=True)) as bar:
        task = bar.add_task('', total=sum(costs))
        for index, one in enumerate(found):
            title = f'{one.model.aliases[0]} ({index + 1} of {len(found)})'
            bar.update(task, description=title, completed=sum(costs[:index]))

            def begin(people: int, index: int = index, one: Found = one) -> None:
                costs[index] = people * one.model.macs
                bar.update(task, total=sum(costs))

            def advance(people: int, one: Found = one) -> None:
                bar.advance(task, people * one.model.macs)

            results.append(check_one(args, one, sets[index], begin, advance))
            save(results)
        bar.update(task, completed=sum(costs))
    return results


def main() -> int:
    """Find, test, compare; 1 if something deviates or does not fit."""
    args = parse_args()
    try:
        data = open_data(args)
        found, rest = sort_out(args.weights, data)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    for one in found:
        print(f'{one.path}: {one.model.aliases[0]}')
    for path, reason in rest.items():
        print(f'{path}: passed over, {reason}')
    for name, part in data.items():
        if part.missing:
            print(f'{name}: {part.missing}; figures are not comparable, none is judged')
    if args.list:
        return 0
    if not found:
        raise SystemExit('error: no file belongs to a model that can be tested')
    args.out.mkdir(parents=True, exist_ok=True)

    def save(results: list[verdicts.Result]) -> None:
        tested_on = {name: part.missing or 'complete' for name, part in data.items()}
        content = dict(
            tolerance=args.tolerance,
            data=tested_on,
            results=[verdicts.as_data(result) for result in results],
            passed_over=rest,
        )
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_atomically(args.out / 'results.json', text.encode())

    results = check_all(args, found, data, save)
    print(f'\n{verdicts.report(results)}\n\n{args.out / "results.json"}')
    bad = (verdicts.DEVIATES, verdicts.FAILED)
    return int(any(result.verdict in bad for result in results))


if __name__ == '__main__':
    sys.exit(main())
