"""A small pose estimator, its exports, and drawn people: made once in a process."""

from functools import cache

import pytest


@pytest.fixture(scope='session')
def small(tmp_path_factory):
    """Config and checkpoint."""
    from deploy_cases import write_estimator

    return write_estimator(tmp_path_factory.mktemp('small'))


@pytest.fixture(scope='session')
def toy(tmp_path_factory):
    """COCO json and folder of four images of drawn people."""
    from deploy_cases import toy_coco

    return toy_coco(tmp_path_factory.mktemp('toy'), 'val')


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
    """Function from options of an export to the exported, made at the first call."""
    from deploy_cases import export_small, write_estimator

    estimator = cache(lambda kind: write_estimator(tmp_path_factory.mktemp(kind), kind))

    @cache
    def make(suffix='onnx', kind='msra', **options):
        out = tmp_path_factory.mktemp('exported') / f'm.{suffix}'
        return export_small(estimator(kind), out, **options)

    return make
