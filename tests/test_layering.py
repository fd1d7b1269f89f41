"""Who may import whom: layers know only torch, models know nothing that uses them."""

import ast
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / 'mmpose_lite'
HOUSE = ('torch', 'numpy', 'mmcv', 'mmengine', 'mmpose')
# Part of the package → what else of the package it may import; what of outside (the
# standard library always). A new part needs a row of its own.
ALLOWED = {
    'models.layers': (('checks',), ('torch', 'mmcv.cnn', 'mmengine.model')),
    'models.backbones': (('models.layers', 'checks', 'registry'), HOUSE),
    'models.heads': (('models.layers', 'checks', 'registry'), HOUSE),
    'models': (
        ('models.layers', 'models.backbones', 'models.heads', 'registry'),
        HOUSE,
    ),
    'search': (
        (
            *('search.latency', 'models', 'checks', 'checkpoints', 'registry'),
            *('analysis', 'io', 'loading', 'deploy.parity'),
        ),
        HOUSE,
    ),
    # Only to measure on an engine: what is timed there is exported first.
    'search.latency': (
        ('models', 'search', 'analysis', 'checks', 'io', 'deploy'),
        HOUSE,
    ),
    'training': (
        (
            *('search', 'models', 'checkpoints', 'checks', 'data', 'registry', 'io'),
            'loading',
        ),
        HOUSE,
    ),
    'deploy.parity': ((), ('numpy',)),
    'deploy.passes': (('models', 'analysis', 'deploy.parity'), ('torch', 'mmcv.cnn')),
    # What runs where neither torch nor MMPose is installed; OpenCV and engines are
    # asked for by name.
    'deploy.native.running': ((), ('numpy',)),
    'deploy.runtime': (('deploy.native.running',), ('numpy',)),
    'deploy.native': (
        ('deploy.passes', 'deploy.native.running', 'io'),
        ('numpy', 'torch'),
    ),
    'deploy.onnx': (('deploy.runtime',), ('numpy', 'torch')),
    # One record a format: writes with torch, is opened by the runtime.
    'deploy.backends': (('deploy.runtime', 'deploy.native', 'deploy.onnx'), ('torch',)),
    'deploy': (
        (
            *('deploy.backends', 'deploy.native', 'deploy.parity', 'deploy.passes'),
            *('deploy.runtime', 'data', 'io', 'loading', 'models', 'renamed'),
        ),
        (*HOUSE, 'xtcocotools'),
    ),
    'checkpoints': (('io',), ('torch',)),
    'analysis': ((), ('torch',)),
    'checks': ((), ()),
    'io': ((), ('numpy', 'cv2', 'PIL')),
    'data': (('checks', 'io'), ('numpy', 'cv2')),
    'explain': (
        ('data', 'io', 'models'),
        (*HOUSE, 'cv2', 'matplotlib'),
    ),
    'inference': (
        (
            *('checkpoints', 'data', 'deploy', 'io', 'loading', 'models', 'zoo'),
            *('explain', 'weights'),
        ),
        (*HOUSE, 'cv2', 'mmdet'),
    ),
    'benchmark': (
        ('analysis', 'deploy', 'io', 'loading', 'zoo'),
        (*HOUSE, 'matplotlib', 'yaml'),
    ),
    # Former names.
    'renamed': ((), ()),
    'datasets': (('renamed',), ()),
    'registry': (('compat',), ('mmengine.registry', 'mmpose.registry')),
    # Stand-ins, in the place of packages that are missing.
    'compat.mmcv_ops': ((), ('torch', 'torchvision')),
    'compat.cocotools': ((), ('numpy', 'pycocotools')),
    'compat.distributions': ((), ('packaging',)),
    'compat': ((), ('torch', 'numpy', 'mmengine', 'mmpose')),
    'paths': (('io',), ('mmengine.config',)),
    'zoo': (('paths',), ('yaml',)),
    'weights': (('checkpoints', 'io', 'zoo'), ('mmengine',)),
    'loading': (('checkpoints', 'weights', 'zoo'), ('torch', 'mmengine', 'mmpose')),
    'mim': (('paths',), ()),
    # From toy data to a table: what a user would do, one after the other.
    'demo': (
        ('analysis', 'data', 'explain', 'io', 'loading', 'mim', 'paths'),
        ('torch', 'mmengine'),
    ),
    # The rest by name, when it is asked for.
    '__init__': (('compat', 'paths'), ('mmpose.registry',)),
    # Arguments → one public function → a report; nobody imports it.
    'cli': (
        (
            *('__init__', 'compat', 'paths', 'registry', 'analysis', 'checkpoints'),
            *('data', 'deploy', 'explain', 'inference', 'io', 'models', 'search'),
            *('training', 'loading', 'weights', 'zoo', 'benchmark', 'demo'),
        ),
        ('mmengine', 'numpy', 'rich', 'torch'),
    ),
    '__main__': (('cli',), ()),
}


def within(name, parts):
    """The first of ``parts`` that ``name`` is or lies in, longest first."""
    ordered = sorted(parts, key=len, reverse=True)
    return next((p for p in ordered if name == p or name.startswith(f'{p}.')), None)


def imported(module, source):
    """Absolute names of all that ``source`` imports, wherever in it."""
    package = module if module.endswith('__init__') else module.rpartition('.')[0]
    package = package.removesuffix('.__init__')
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')[: package.count('.') + 2 - node.level]
            base = '.'.join(parents) if node.level else ''
            base = '.'.join(filter(None, (base, node.module)))
            yield from (f'{base}.{alias.name}' for alias in node.names)


def violations(module, source):
    """What a module of the package imports against the table."""
    part = within(module.removeprefix('mmpose_lite.'), ALLOWED)
    if part is None:
        return [f'{module} has no row in the table']
    own, outside = ALLOWED[part]
    found = []
    for name in imported(module, source):
        if name == 'mmpose_lite' or name.startswith('mmpose_lite.'):
            inside = name.removeprefix('mmpose_lite.')
            target = within(inside, ALLOWED) or '__init__'
            if target != part and within(target, own) is None:
                found.append(f'{module} imports {name}')
        elif name.partition('.')[0] not in sys.stdlib_module_names:
            # The report of the environment asks for everything.
            allowed = module == 'mmpose_lite.cli.env'
            if within(name, outside) is None and not allowed:
                found.append(f'{module} imports {name}')
    return found


MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts): path
    for path in sorted(PACKAGE.rglob('*.py'))
}


@pytest.mark.parametrize('module', MODULES)
def test_module_imports_only_what_its_layer_may(module):
    source = MODULES[module].read_text(encoding='utf-8')
    assert violations(module, source) == []


@pytest.mark.parametrize(
    ('module', 'source'),
    [
        ('mmpose_lite.models.layers.a', 'from ...registry import MODELS'),
        ('mmpose_lite.models.layers.a', 'import mmcv.ops'),
        ('mmpose_lite.models.layers.a', 'from mmcv import ops'),
        ('mmpose_lite.models.layers.__init__', 'from ..backbones import b'),
        ('mmpose_lite.models.backbones.a', 'def f():\n    from ...search import b'),
        ('mmpose_lite.models.__init__', 'from .. import deploy'),
        ('mmpose_lite.models.backbones.a', 'import mmpose_lite.checkpoints.b'),
        ('mmpose_lite.checkpoints.a', 'from ..models import b'),
        ('mmpose_lite.analysis.a', 'import mmengine'),
        ('mmpose_lite.novelty', ''),
    ],
)
def test_forbidden_import_is_seen(module, source):
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    'tool', sorted((ROOT / 'tools').glob('*.py')), ids=lambda p: p.name
)
def test_nothing_imports_tools(tool):
    importers = [
        module
        for module, path in MODULES.items()
        for name in imported(module, path.read_text(encoding='utf-8'))
        if name.partition('.')[0] in ('tools', tool.stem)
    ]
    assert importers == []
