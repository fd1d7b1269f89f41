"""What to measure of HR-NAS's supernet: from the command line, and for the header."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from datetime import datetime, timezone

from mmengine.config import Config

import mmpose_lite
from mmpose_lite.models.backbones.hrnas import resolve_arch
from mmpose_lite.models.backbones.hrnas_arch import SearchSpace, resolve_space

from .engines import FAST_MULTIPLES, check_engine, cpu_model, versions


@dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    Attributes:
        space: The supernet.
        image_sizes: Heights and widths of images.
        engine: A key of ``ENGINES``.
        threads: Threads for one call.
        batch: Images at a time.
        rounds: Rounds that count.
        widths: Hidden channels and tokens of the parts, relative to the supernet's.
            Kernels are faster at multiples of 8 or 16, which pruning seldom leaves, so
            round fractions would flatter.
        multiple: Hidden widths, and those of the networks, are multiples of this.
        calibration: Random networks that set the factor; none leaves it at 1.
        clock: Function of the module ``time``; ``'process_time'`` counts the process
            alone, for a busy machine.
        warmup: Calls of everything before the rounds.
    """

    space: SearchSpace
    image_sizes: tuple[tuple[int, int], ...]
    engine: str = 'pytorch'
    threads: int = 1
    batch: int = 1
    rounds: int = 30
    widths: tuple[float, ...] = (0.06, 0.15, 0.27, 0.41, 0.56, 0.71, 0.86, 1)
    multiple: int = 1
    calibration: int = 8
    clock: str = 'perf_counter'
    warmup: int = 2

    def __post_init__(self) -> None:
        for name in ('threads', 'batch', 'rounds', 'warmup', 'multiple'):
            if getattr(self, name) < 1:
                raise ValueError(
                    f'{name} must be at least 1, got {getattr(self, name)}'
                )
        if not all(0 < width <= 1 for width in self.widths) or max(self.widths) < 1:
            raise ValueError(
                f'widths must be above 0 up to 1, and hold 1, got {self.widths}'
            )


def read_space(args: argparse.Namespace) -> tuple[SearchSpace, list[tuple[int, int]]]:
    """The space, and the image sizes (H, W) if none are given."""
    name, change = args.space, {}
    if args.transformer:
        change = dict(transformer=args.transformer)
    if not name.endswith(('.py', '.json', '.yml', '.yaml')):
        sizes = {'mini': (128, 96)}
        return resolve_space(dict(base=name, **change)), [sizes.get(name, (256, 192))]
    config = Config.fromfile(name)
    backbone = config.model.backbone
    space, _ = resolve_arch(backbone.get('arch'), backbone.get('space'))
    if change:
        raise ValueError('transformer must be left to the config, got --transformer')
    size = (config.model.get('resource') or config.get('codec') or {}).get('input_size')
    if size is None and args.input_size is None:
        raise ValueError(f'{name} tells no input size; give --input-size H W')
    return space, [tuple(size[::-1])] if size else []


def make_plan(args: argparse.Namespace) -> Plan:
    """What the arguments ask for."""
    check_engine(args.engine)
    space, sizes = read_space(args)
    given = dict(widths=tuple(args.widths)) if args.widths else {}
    return Plan(
        space=space,
        image_sizes=tuple(tuple(size) for size in args.input_size or sizes),
        engine=args.engine,
        threads=args.threads,
        batch=args.batch,
        rounds=args.rounds,
        multiple=args.multiple or FAST_MULTIPLES.get(args.engine, 1),
        calibration=args.calibration,
        clock='process_time' if args.cpu_time else 'perf_counter',
        **given,
    )


def describe(plan: Plan, space_name: str) -> dict:
    """Header of the table."""
    return dict(
        space_name=space_name,
        engine=plan.engine,
        cpu=cpu_model(),
        cores=os.cpu_count(),
        versions=dict(versions(plan.engine), mmpose_lite=mmpose_lite.__version__),
        batch_norms='kept' if plan.engine == 'pytorch' else 'folded',
        precision='float32',
        threads=plan.threads,
        batch=plan.batch,
        rounds=plan.rounds,
        multiple=plan.multiple,
        calibration=plan.calibration,
        clock=plan.clock,
        load_average=round(os.getloadavg()[0], 2),
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
    )
