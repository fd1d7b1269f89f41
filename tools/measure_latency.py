"""The verb ``latency`` of ``mmpose-lite``, under its old name."""

from shim import run_verb

run_verb('latency')
