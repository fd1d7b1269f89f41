"""The verb ``retrain`` of ``mmpose-lite``, under its old name."""

from shim import run_verb

run_verb('retrain')
