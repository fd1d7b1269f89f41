"""Where the packaged configs lie, and how configs elsewhere inherit from them.

In a source checkout (also one installed editable) the configs are ``configs/`` beside
the package; a wheel carries them in ``mmpose_lite/.mim/configs``, where mim looks.
"""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Callable
from pathlib import Path

from .io.files import write_atomically

PACKAGE = Path(__file__).resolve().parent


def config_root() -> Path:
    """Folder of the config families: ``configs/`` of the checkout, or the wheel's copy.

    Raises:
        FileNotFoundError: If neither is there (a broken installation).
    """
    # setup.py tells a checkout from a stranger's `configs` folder in site-packages.
    if (PACKAGE.parent / 'setup.py').is_file():
        root = PACKAGE.parent / 'configs'
    else:
        root = PACKAGE / '.mim' / 'configs'
    if not root.is_dir():
        raise FileNotFoundError(
            f'the configs of mmpose_lite are missing: expected them in {root}; '
            'install the package again'
        )
    return root


def config_path(name: str) -> str:
    """Absolute path of a packaged config.

    ``_base_`` of a config elsewhere may name this path; so one can inherit without
    knowing how the package was installed.

    Args:
        name: Path below the config folder, such as
            ``'litehrnet/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'``, or the file's
            name alone. ``.py`` may be left out.

    Raises:
        ValueError: If no config has this name, or several have (the message lists the
            nearest names).
    """
    root = config_root()
    known = [path.relative_to(root).as_posix() for path in sorted(root.rglob('*.py'))]
    wanted = name.replace('\\', '/').removesuffix('.py') + '.py'
    if wanted in known:
        return str(root / wanted)
    found = [path for path in known if path.rpartition('/')[2] == wanted]
    if len(found) == 1:
        return str(root / found[0])
    if found:
        raise ValueError(f'config name {name!r} is not unique; give one of {found}')
    # A name alone is compared with names.
    names = {path: path if '/' in wanted else path.rpartition('/')[2] for path in known}
    likest = difflib.get_close_matches(wanted, {*names.values()}, n=5, cutoff=0.3)
    nearest = [path for name in likest for path in known if names[path] == name]
    raise ValueError(f'there is no config {name!r} in {root}; nearest: {nearest}')


def copy_config(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """A copy of a config to edit, which still inherits from the packaged files.

    Args:
        source: Path of the config, or a name that :func:`config_path` takes.
        target: Path of the copy, or a folder that exists.

    Raises:
        FileExistsError: If there is such a file already.
        ValueError: If no config has this name.
    """
    path = Path(source)
    path = path if path.is_file() else Path(config_path(os.fspath(source)))
    target = Path(target)
    target = target / path.name if target.is_dir() else target
    if target.exists():
        raise FileExistsError(f'{target} exists already and is not overwritten')
    text = path.read_text(encoding='utf-8')
    for written, name in _bases(text):
        if '::' not in name:  # else of another package, which mmengine looks up
            text = text.replace(written, repr(str((path.parent / name).resolve())), 1)
    # What else it reads lies beside it, and is named by these variables of mmengine.
    text = text.replace('{{fileDirname}}', str(path.parent.resolve()))
    text = text.replace('{{fileBasenameNoExtension}}', path.stem)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, text.encode())
    return target


def _bases(text: str) -> list[tuple[str, str]]:
    """The bases of a config: as they are written, and what that means."""
    return [
        (ast.get_source_segment(text, node) or '', str(node.value))
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign)
        and ast.unparse(statement.targets[0]) == '_base_'
        for node in ast.walk(statement.value)
        if isinstance(node, ast.Constant)
    ]


def register_config_scope(execute: Callable[[], None]) -> None:
    """Let mmengine resolve ``mmpose_lite::…`` in ``_base_``, where it is installed.

    mmengine finds such bases through a table from scope to package. It reads ``_base_``
    before ``custom_imports``, hence this works only for configs that are read after the
    package was imported, and only from an installed wheel.
    """
    execute()
    from mmengine.config import utils

    utils.MODULE2PACKAGE.setdefault('mmpose_lite', 'mmpose_lite')
