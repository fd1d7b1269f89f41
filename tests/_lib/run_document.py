"""Runs the steps of one document: ``python run_document.py STEPS.json``.

A process of its own, so that classes that a document registers stay out of the tests'.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_config(path: Path) -> None:
    """Read a config, look up its hooks and build its model."""
    import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

    # isort: split
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmpose.registry import HOOKS, MODELS

    init_default_scope('mmpose')
    config = Config.fromfile(path)
    for hook in config.get('custom_hooks', []):
        assert HOOKS.get(hook['type']) is not None, f'there is no hook {hook["type"]}'
    if 'model' in config:
        MODELS.build(config.model)


def run(number: int, step: dict[str, Any]) -> None:
    """One block, in the working directory."""
    path = Path(step.get('file', f'block_{number}.py'))
    if step['kind'] == 'bash':
        subprocess.run(['bash', '-euo', 'pipefail', '-c', step['code']], check=True)
        return
    path.write_text(step['code'], encoding='utf-8')
    if step['kind'] == 'config':
        run_config(path)
    elif 'file' in step:
        __import__(path.stem)
    else:
        # The page's name and line stand in tracebacks.
        code = compile(step['code'], step['where'], 'exec')
        exec(code, {'__name__': '__main__'})


def main() -> None:
    """Run all steps; the first failure ends it."""
    sys.path.insert(0, str(Path.cwd()))
    for number, step in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        print(f'--- {step["where"]}', flush=True)
        run(number, step)


if __name__ == '__main__':
    main()
