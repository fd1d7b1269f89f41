"""The model zoo as its metafiles describe it, and the pages that are made of it."""
