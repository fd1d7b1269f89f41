"""Names resolve everywhere, and MMPose's own stay its own."""

import pytest
from command_line import python
from conftest import ROOT

COMPAT = str(ROOT / 'mmpose_lite' / 'compat' / '__init__.py')
CHECK = """
from mmengine.registry import DefaultScope, MODELS as ROOT, init_default_scope
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmpose.registry import HOOKS, MODELS
assert MODELS.get('XHRNet').__module__ == 'mmpose_lite.models.backbones.xhrnet'
for name in ('SearchablePoseEstimator', 'RampedAverage'):
    assert MODELS.get(name).__module__.startswith('mmpose_lite.search.')
assert MODELS.get('LiteHRNet').__module__ == 'mmpose.models.backbones.litehrnet'
for scope in ('mmpose', 'mmdet', 'mmengine', 'mmpose_lite'):
    init_default_scope(scope)
    for registry in (MODELS, ROOT):
        for name in ('mmpose_lite.LiteHRNet', 'mmpose_lite.XHRNet', 'mmpose.XHRNet'):
            cls = registry.get(name)
            assert cls is not None, (scope, registry, name)
            assert cls.__module__.startswith('mmpose_lite.'), (scope, name, cls)
        theirs = registry.get('mmpose.LiteHRNet')
        assert theirs.__module__.startswith('mmpose.'), theirs
    for registry in (HOOKS, ROOT_HOOKS):
        for name in ('mmpose_lite.EpochSeedHook', 'mmpose.EpochSeedHook'):
            cls = registry.get(name)
            module = 'mmpose_lite.training.reproducible.epoch_seed'
            assert cls.__module__ == module, (scope, cls)
        assert registry.get('CheckpointHook').__module__.startswith('mmengine.')
init_default_scope('mmpose')
assert type(HOOKS.build(dict(type='EpochSeedHook'))).__name__ == 'EpochSeedHook'
net = MODELS.build(dict(type='XHRNet', arch='s18'))
assert type(net).__module__ == 'mmpose_lite.models.backbones.xhrnet'
print('resolved')
"""


IMPORTS = {
    'alone': 'import mmpose_lite',
    'before': 'import mmpose_lite; import mmpose.models',
    'runner after': 'import mmpose_lite; from mmengine.runner import Runner',
    'runner before': 'import mmengine.runner; import mmpose_lite',
    # What a working torchvision brings by itself is patched by the file alone.
    'after': f"""import runpy; runpy.run_path({COMPAT!r})["patch"]()
import sys, mmpose.models; assert "mmpose_lite" not in sys.modules
import mmpose_lite""",
    'reload': 'import mmpose_lite, importlib; importlib.reload(mmpose_lite)',
    'again': """import sys, mmpose_lite
for name in [n for n in sys.modules if n.startswith("mmpose_lite")]:
    del sys.modules[name]
import mmpose_lite""",
    'custom_imports': """from mmengine.utils import import_modules_from_strings as load
load(['mmpose_lite'], allow_failed_imports=False)
load(['mmpose_lite'], allow_failed_imports=False)""",
}


@pytest.mark.parametrize('imports', IMPORTS.values(), ids=IMPORTS)
def test_names_resolve(imports):
    result = python('-c', f'{imports}\n{CHECK}')
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == 'resolved'


@pytest.mark.parametrize(
    ('code', 'said'),
    [
        ('import mmpose_lite.models', ''),
        (
            'import sys, mmpose_lite.deploy\n'
            "print({'torch', 'mmpose', 'mmengine', 'cv2', 'numpy'} & {*sys.modules})",
            'set()\n',
        ),
    ],
    ids=['prints nothing', 'brings nothing along'],
)
def test_import(code, said):
    result = python('-c', code)
    assert (result.returncode, result.stdout, result.stderr) == (0, said, '')
