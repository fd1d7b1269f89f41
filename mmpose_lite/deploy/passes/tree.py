"""The one walker of the rewrites."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

Rule = Callable[[nn.Module], nn.Module]


def rewrite(model: nn.Module, rules: Mapping[type, Rule]) -> nn.Module:
    """Replace every module of a type in ``rules``, innermost first.

    A rule holds for its type and for subclasses that have none of their own. It may
    reuse parts of what it replaces, or change that and return it.

    Args:
        model: What to rewrite, in place; its root may be replaced too.
        rules: Type to what returns the replacement.

    Returns:
        ``model``, or what replaces it.
    """
    replaced: dict[nn.Module, nn.Module] = {}

    def visit(module: nn.Module) -> nn.Module:
        if module not in replaced:
            for name, child in module.named_children():
                setattr(module, name, visit(child))
            rule = next((rules[t] for t in type(module).__mro__ if t in rules), None)
            replaced[module] = module if rule is None else rule(module)
        return replaced[module]

    return visit(model)
