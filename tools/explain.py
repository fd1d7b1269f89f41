"""The verb ``explain`` of ``mmpose-lite``, under an old name."""

from shim import run_verb

run_verb('explain')
