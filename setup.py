"""Build of mmpose_lite; `tools/setup.sh` sets up a complete working environment."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmpose_lite'


def read_version() -> str:
    """Version of the package, read without importing it (that would need torch)."""
    tree = ast.parse((ROOT / PACKAGE / '__init__.py').read_text(encoding='utf-8'))
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == '__version__'
        ):
            return str(ast.literal_eval(node.value))
    raise ValueError(f'{PACKAGE}/__init__.py assigns no __version__')


class BuildWithConfigs(build_py):
    """`build_py` that also puts configs and model index where mim looks for them.

    They go into the wheel as ``mmpose_lite/.mim`` and never into the source tree: a
    copy there would grow stale. An editable install has none, for mim and mmengine
    look in site-packages only.
    """

    def run(self) -> None:
        """Build into an emptied folder, so that no removed module is packed."""
        if self.editable_mode:
            super().run()
            return
        built = Path(self.build_lib) / PACKAGE
        shutil.rmtree(built, ignore_errors=True)
        super().run()
        shutil.copytree(
            ROOT / 'configs',
            built / '.mim' / 'configs',
            ignore=shutil.ignore_patterns('__pycache__', '*.pyc'),
        )
        shutil.copy2(ROOT / 'model-index.yml', built / '.mim')


def read_readme() -> str:
    """Text of the README, or nothing where it was not unpacked."""
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.is_file() else ''


setup(
    name=PACKAGE,
    version=read_version(),
    description='Light and searched human-pose networks as a plugin of MMPose 1.x',
    long_description=read_readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='human pose estimation, lightweight networks, Lite-HRNet, X-HRNet, MMPose',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={f'{PACKAGE}.deploy.native': ['*.hpp']},
    cmdclass={'build_py': BuildWithConfigs},
    entry_points={'console_scripts': ['mmpose-lite=mmpose_lite.cli:main']},
    zip_safe=False,
    # What tests were run with; see docs/reliability.md.
    python_requires='>=3.10,<3.14',
    # What the package needs where MMPose is absent (verbs such as `list` and the
    # deployment part can be used then; exported files run without torch, too, after
    # `pip install --no-deps`). MMPose cannot stand here: it declares chumpy, which
    # fails to build in pip's isolation, and mmcv, where mmcv-lite is enough.
    # tools/test_versions.sh runs the tests with the oldest and the newest versions;
    # mmpose_lite.compat refuses others.
    install_requires=['numpy>=1.23.5', 'pyyaml', 'rich', 'torch>=2.6'],
    extras_require={
        # All that MMPose's 2D path needs and plain pip can install. What remains:
        # mmcv-lite, mmdet, mmpose and openmim (--no-deps).
        'pose': [
            # Needs of openmim, mmcv-lite and mmpose.
            'addict',
            'colorama',
            'json-tricks',
            'matplotlib',
            'mmengine>=0.10.1,<1',
            'model-index',
            'munkres',
            'opencv-python>=4.6',
            'ordered-set',
            'packaging',
            'pandas',
            'pillow',
            'platformdirs',
            'pycocotools>=2.0.8',
            'requests',
            'scipy',
            # It drops pkg_resources, which mim and mmengine import.
            'setuptools<82',
            'shapely',
            'six',
            'tabulate',
            'terminaltables',
            'torchvision',
            'tqdm',
        ],
        # Weights in that format.
        'safetensors': ['safetensors>=0.4'],
        # Engines for exported networks and for latency tables.
        'deploy': ['onnx', 'onnxruntime', 'openvino'],
        # What tools/test.sh runs.
        'dev': [
            'mypy',
            'pytest>=8',
            'pytest-timeout',
            'pytest-xdist',
            'ruff',
            'safetensors>=0.4',
        ],
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
