"""What the command lines ``tools/benchmark_*.py`` measure and how they report it."""
