"""Long runs neither grow nor leave anything open."""

from __future__ import annotations

import gc
import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_run
import torch
from deploy_cases import export_small, write_estimator
from mmengine.hooks import Hook
from mmpose.apis import inference_topdown

from mmpose_lite.deploy import PoseRuntime
from mmpose_lite.explain import explain
from mmpose_lite.loading import load_model
from reliability.frame import SHARE

pytestmark = pytest.mark.slow
SECTION = (7, 'Leaks and endurance')
STEPS, INFERENCES, SAMPLES = 2000, 10_000, 40
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
GROWTH = 4e6
"""Bytes that the second half of a run may lie above the first: noise of the allocator.
A tensor of 1 kB kept per step would make 1 MB in 1,000 steps, and 10 in a full run."""


class Watch:
    """Memory, open files and threads of this process over time."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.files: list[int] = []
        self.threads: list[int] = []
        # All that torch has imported need not be walked through at every look.
        gc.collect()
        gc.freeze()

    def look(self) -> None:
        gc.collect()
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        self.memory.append(pages * os.sysconf('SC_PAGE_SIZE'))
        self.files.append(len(os.listdir('/proc/self/fd')))
        self.threads.append(len(os.listdir('/proc/self/task')))

    def check(self) -> None:
        """Flat, after a first quarter in which caches fill."""
        gc.unfreeze()
        rest = np.array(self.memory[len(self.memory) // 4 :])
        first, second = np.array_split(rest, 2)
        assert np.median(second) - np.median(first) < GROWTH, self.memory
        assert len(set(self.files[len(self.files) // 4 :])) == 1, self.files
        assert len(set(self.threads[len(self.threads) // 4 :])) == 1, self.threads


def repeated(work: Callable[[], object], count: int) -> Watch:
    """Do something many times and watch."""
    watch = Watch()
    for number in range(count):
        work()
        if number % (count // SAMPLES) == 0:
            watch.look()
    return watch


def test_watch_sees_a_leak():
    """The check can fail: 32 kB kept per step, an open file, a thread."""
    kept = []

    def keep():
        kept.append(mmap.mmap(-1, 1 << 15))  # never what the heap has left over
        kept[-1].write(bytes(1 << 15))

    with pytest.raises(AssertionError):
        repeated(keep, STEPS // SHARE * 4).check()
    kept.clear()
    files = []
    with pytest.raises(AssertionError):
        repeated(lambda: files.append(open(os.devnull)), 80).check()  # noqa: SIM115
    for file in files:
        file.close()
    go_on = threading.Event()
    with pytest.raises(AssertionError):
        repeated(lambda: threading.Thread(target=go_on.wait).start(), 80).check()
    go_on.set()


class Look(Hook):
    """Watches a training."""

    def __init__(self, watch: Watch, every: int) -> None:
        self.watch, self.every = watch, every

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.every_n_train_iters(runner, self.every):
            self.watch.look()


def test_training(campaign, tmp_path):
    """With all hooks of the package, checkpoints, validation and averaging."""
    steps = len(campaign.choose(range(STEPS)))
    watch = Watch()
    small_run.runner(
        tmp_path,
        train_cfg=dict(by_epoch=True, max_epochs=steps // 3 + 1, val_interval=20),
        hooks=[Look(watch, max(1, steps // SAMPLES))],
        checkpoint=dict(interval=20),
    ).train()
    watch.check()
    campaign.survived(steps)


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    return write_estimator(tmp_path_factory.mktemp('small'))


@pytest.fixture
def network(small):
    return load_model(small.config, small.checkpoint)


def test_inference(campaign, network):
    """MMPose's own, with our network."""
    count = len(campaign.choose(range(INFERENCES)))
    repeated(lambda: inference_topdown(network, IMAGE), count).check()
    campaign.survived(count)


def test_exported_inference(campaign, small, tmp_path):
    export_small(small, tmp_path / 'model.onnx')
    runtime = PoseRuntime(tmp_path / 'model.onnx')
    boxes = [[5, 5, 80, 100], [20, 10, 60, 110]]
    count = len(campaign.choose(range(INFERENCES)))
    repeated(lambda: runtime(IMAGE, boxes), count).check()
    campaign.survived(count)


def hooks_of(network: torch.nn.Module) -> int:
    """Hooks of all kinds on all modules."""
    kinds = [name for name in vars(torch.nn.Module()) if name.endswith('_hooks')]
    return sum(
        len(getattr(module, kind)) for module in network.modules() for kind in kinds
    )


def test_explain_removes_its_hooks(network, monkeypatch):
    """Also where the network fails on the way."""
    before, during = hooks_of(network), []
    network.register_forward_pre_hook(lambda *_: during.append(hooks_of(network)))
    explain(network, IMAGE)
    assert max(during) > before + 1
    assert hooks_of(network) == before + 1

    def fail(*_):
        raise RuntimeError('on the way')

    monkeypatch.setattr(network.head, 'forward', fail)
    with pytest.raises(RuntimeError, match='on the way'):
        explain(network, IMAGE)
    assert hooks_of(network) == before + 1
