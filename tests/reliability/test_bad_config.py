"""Bad configuration is refused while a model, a hook or a run is built.

Every argument of every class that the package registers is given something of a wrong
type and misspelt; what else can be wrong with one, or with several together, is listed
in ``config_cases``. Each must end in an error of the package's own that shows argument
and value, never in one from inside torch.
"""

from __future__ import annotations

import inspect
import re
import traceback
from pathlib import Path

import mmengine.registry
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.registry import Registry, init_default_scope
from mmpose.apis import init_model
from mmpose.models.backbones import HRNet, ResNet
from search_run import model_cfg, runner

import mmpose_lite.registry as package_registries
from mmpose_lite.models.backbones.borrowed import HRNET, RESNET
from mmpose_lite.training import CheckFitHook

from .config_cases import BAD, GOOD, by_rule
from .frame import cases

SECTION = (1, 'Bad configuration')
PACKAGE = str(ROOT / 'mmpose_lite')


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


def registries():
    """The package's registries, whichever root they hang from."""
    roots = (r for r in vars(mmengine.registry).values() if isinstance(r, Registry))
    found = (root.children.get(package_registries.SCOPE) for root in roots)
    return {registry.name: registry for registry in found if registry is not None}


REGISTRIES = registries()
CLASSES = {
    name: (registry, cls)
    for registry in REGISTRIES.values()
    for name, cls in registry.module_dict.items()
    if inspect.isclass(cls)
}


def rules(cls):
    """Rule of every argument that users may give."""
    return getattr(cls.__init__, 'rules', None) or getattr(cls, 'rules', {})


def build(name, **changes):
    """A registered class with good arguments, some of them changed."""
    registry = CLASSES[name][0]
    return registry.build(dict(GOOD[name], **changes, type=f'mmpose_lite.{name}'))


def refusal(call, *arguments, **options):
    """The message of an error that must be the package's own."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*arguments, **options)
    where = traceback.extract_tb(caught.value.__traceback__)[-1].filename
    assert where.startswith(PACKAGE), f'raised in {where}: {caught.value}'
    return str(caught.value)


class Alien:
    """Nothing that any argument may be."""

    def __repr__(self):
        return '<alien>'


ARGUMENTS = {
    f'{name}-{argument}': (name, argument)
    for name, (_, cls) in CLASSES.items()
    for argument in rules(cls)
}
LISTED = {
    f'{name}-{place}-{case[1]}': (name, *case)
    for name, (_, cls) in CLASSES.items()
    for place, case in enumerate(
        [
            *BAD[name],
            *(c for a, rule in rules(cls).items() for c in by_rule(a, rule.wanted)),
        ]
    )
}


def test_every_registered_class_has_cases():
    """A new class, or a new argument, must be told what it takes."""
    assert set(CLASSES) == set(GOOD) == set(BAD)
    assert len(ARGUMENTS) * 2 + len(LISTED) > 150
    for name, (_, cls) in CLASSES.items():
        own = inspect.signature(cls.__init__).parameters.values()
        plain = (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        )
        named = {p.name for p in own if p.kind in plain} - {'self'}
        assert named <= set(rules(cls)), name


@pytest.mark.parametrize(('theirs', 'known'), [(HRNet, HRNET), (ResNet, RESNET)])
def test_arguments_of_mmpose_are_known(theirs, known):
    assert [*inspect.signature(theirs).parameters] == [*known]


@pytest.mark.parametrize('name', GOOD)
def test_good_arguments_are_taken(name):
    state = torch.get_rng_state()
    build(name)
    if 'Hook' in name:  # what is built from no random numbers leaves them alone
        assert torch.equal(state, torch.get_rng_state())


@cases(ARGUMENTS, share=1)
def test_wrong_type(case):
    name, argument = case
    message = refusal(build, name, **{argument: Alien()})
    assert argument in message
    assert 'alien' in message.lower()


@cases(ARGUMENTS, share=1)
def test_misspelt(case):
    name, argument = case
    wrong = f'{argument[:-1]}_{argument[-1]}'
    message = refusal(build, name, **{wrong: 3})
    assert wrong in message
    assert '3' in message
    assert argument in message.replace(wrong, '')  # what is allowed is told


@cases(LISTED, share=1)
def test_listed(case):
    name, changes, argument, value = case
    message = refusal(build, name, **changes)
    assert argument in message
    assert value in message
    assert re.search(r'must|needs? |lacks|takes|not |no ', message)  # what is allowed


def test_checking_draws_no_random_numbers():
    """A network's weights are those that it had before its arguments were checked."""
    drawn = []
    for changes in ({}, dict(norm_cfg=dict(type='BN'), init_cfg=dict(type='Xavier'))):
        torch.manual_seed(0)
        build('XHRNet', **changes)
        drawn.append(torch.rand(1))
    assert torch.equal(*drawn)


RUNS = {
    'keypoints': (dict(out_channels=4), 'out_channels', '4'),
    'backbone and head': (dict(in_channels=7), 'in_channels', '7'),
    'heatmap size': (
        dict(decoder=dict(heatmap_size=(24, 32))),
        'heatmap_size',
        '(24, 32)',
    ),
}


def plain_run(folder, head=None, hooks=()):
    """A training of a few steps of an estimator of MMPose."""
    cfg = {k: v for k, v in model_cfg().items() if k != 'resource'}
    old, head = cfg['head'], head or {}
    decoder = {**old['decoder'], **head.get('decoder', {})}
    cfg |= dict(type='TopdownPoseEstimator', head={**old, **head, 'decoder': decoder})
    return runner(folder, model=cfg, epochs=1, custom_hooks=[*hooks])


@cases(RUNS)
def test_run_stops_before_its_first_step(case, tmp_path, monkeypatch):
    """Data set, backbone, head and codec of a run that each are good alone."""
    changes, argument, value = case
    run = plain_run(tmp_path, changes, [dict(type='mmpose_lite.CheckFitHook')])
    steps = []
    monkeypatch.setattr(type(run.model), 'train_step', lambda *a, **k: steps.append(a))
    dataset = run._train_dataloader['dataset']
    monkeypatch.setattr(
        type(dataset), 'metainfo', dict(num_keypoints=3, dataset_name='noise')
    )
    message = refusal(run.train)
    assert argument in message
    assert value in message
    assert not steps


def test_fitting_run_goes_on_unchanged(tmp_path):
    """The check lets through what fits, and leaves the model as it was."""
    plain = plain_run(tmp_path / 'a').train()
    checked = plain_run(tmp_path / 'b', hooks=[CheckFitHook()]).train()
    for (name, first), second in zip(
        plain.state_dict().items(), checked.state_dict().values(), strict=True
    ):
        assert np.array_equal(first, second), name


@cases({'arch': dict(arch='17'), 'space': dict(space='huge')})
def test_init_model_refuses_too(case, tmp_path):
    kind = 'HRNASNet' if 'space' in case else 'LiteHRNet'
    config = Path(tmp_path, 'bad.py')
    backbone = dict(type=f'mmpose_lite.{kind}', **case)
    config.write_text(
        "default_scope = 'mmpose'\n"
        f"model = dict(type='TopdownPoseEstimator', backbone={backbone!r})\n"
    )
    ((argument, value),) = case.items()
    message = refusal(init_model, str(config), device='cpu')
    assert argument in message
    assert repr(value) in message
