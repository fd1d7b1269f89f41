"""The machine that something was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def cpu_model() -> str:
    """The processor's name."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text(encoding='utf-8').splitlines():
            key, _, value = line.partition(':')
            if key.strip() == 'model name':
                return value.strip()
    return platform.processor() or 'unknown'


def describe_machine(packages: Iterable[str]) -> dict[str, Any]:
    """Date, processor, load and versions, ready for JSON.

    Args:
        packages: Those whose versions matter; the ones not installed are left out.
    """
    versions = {'python': platform.python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return dict(
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        cpu=cpu_model(),
        cores=os.cpu_count(),
        load_average=round(os.getloadavg()[0], 2),
        versions=versions,
    )
