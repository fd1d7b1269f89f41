"""What a shrink decides, and that optimizers follow."""

from __future__ import annotations

import pytest
import torch
from hrnas import TINY

from mmpose_lite.models.backbones import HRNASNet
from mmpose_lite.search import MacsCost, decide, follow, planned_arch, shrink
from mmpose_lite.search.shrinking import _bundles

COST = MacsCost((64, 48))


@pytest.fixture
def net():
    """A tiny supernet with transformers and distinct importances above 0.1."""
    torch.manual_seed(0)
    built = HRNASNet(space=dict(TINY, transformer='residual'))
    for _, block in built.named_blocks():
        for gamma in block.importances():
            torch.nn.init.uniform_(gamma, 0.1, 1)
    return built


def left(masks):
    return [int(group.sum()) for mask in masks for group in mask.groups()]


def full(net):
    return [len(g) for _, block in net.named_blocks() for g in block.importances()]


def test_nothing_dead_nothing_leaves(net):
    assert left(decide(net, COST)) == full(net)


def test_dead_in_both_leave(net):
    """A channel must be dead now and on average; the sign does not matter."""
    averaged = HRNASNet(space=dict(TINY, transformer='residual'))
    averaged.load_state_dict(net.state_dict())
    ours, theirs = (n.named_blocks()[3][1].importances()[0] for n in (net, averaged))
    with torch.no_grad():
        ours[:4] = torch.tensor([1e-3, -1e-3, 1e-3, 2e-3])
        theirs[:4] = torch.tensor([-1e-3, 0, 0.5, 0])
    mask = decide(net, COST, averaged=averaged)[3].channels[0]
    assert mask.tolist()[:4] == [False, False, True, True]
    assert sum(full(net)) - sum(left(decide(net, COST, averaged=averaged))) == 2


@pytest.mark.parametrize('share', [0.9, 0.5, 0.2])
def test_a_cap_takes_the_least_important(net, share):
    cap = share * COST.network(net.space, net.arch)
    masks = decide(net, COST, cap=cap)
    cost = COST.network(net.space, planned_arch(net, masks))
    assert 0.97 * cap <= cost <= cap
    pairs = [
        (gamma.detach(), group)
        for (_, block), mask in zip(net.named_blocks(), masks, strict=True)
        for gamma, group in zip(block.importances(), mask.groups(), strict=True)
    ]
    gone = max(float(g[~kept].max()) for g, kept in pairs if not kept.all())
    stays = min(float(g[kept].min()) for g, kept in pairs if kept.any())
    assert gone < stays


def test_a_floor_holds_even_against_the_dead(net):
    with torch.no_grad():
        for _, block in net.named_blocks():
            for gamma in block.importances():
                gamma *= 1e-3
    floor = 0.6 * COST.network(net.space, net.arch)
    masks = decide(net, COST, floor=floor)
    cost = COST.network(net.space, planned_arch(net, masks))
    assert floor <= cost <= 1.03 * floor


def test_tokens_can_be_spared(net):
    with torch.no_grad():
        block = net.named_blocks()[0][1]
        for gamma in block.importances():
            gamma[0] = 0
    assert decide(net, COST, tokens=False)[0].tokens.all()
    assert not decide(net, COST)[0].tokens[0]
    assert not decide(net, COST, tokens=False)[0].channels[0][0]


def test_bundles_leave_multiples():
    scores = torch.tensor([0.5, 0.1, 0.4, 0.2, 0.3, 0.6, 0.7])
    bundles = list(_bundles(scores, 4))
    assert bundles == [
        (pytest.approx(0.3), [1, 3, 4]),
        (pytest.approx(0.7), [2, 0, 5, 6]),
    ]
    assert [b for _, b in _bundles(scores, 1)] == [[1], [3], [4], [2], [0], [5], [6]]


def test_widths_stay_multiples(net):
    """As engines want it; tokens are free."""

    class Coarse(MacsCost):
        multiple = 4

    cap = 0.4 * COST.network(net.space, net.arch)
    masks = decide(net, Coarse((64, 48)), cap=cap)
    counts = [int(m.sum()) for mask in masks for m in mask.channels]
    assert {count % 4 for count in counts} == {0}
    assert sum(counts) > 0


@pytest.mark.parametrize('name', ['Adam', 'AdamW', 'SGD', 'RMSprop'])
def test_optimizers_follow(net, name):
    """State values are the old ones of what stays; a step goes on working."""
    options = dict(momentum=0.9) if name in ('SGD', 'RMSprop') else {}
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.01, **options)
    image = torch.randn(2, 3, 64, 48)

    def step():
        optimizer.zero_grad()
        net(image)[0].square().mean().backward()
        optimizer.step()

    step()
    block = net.named_blocks()[2][1]
    expand = block.ops[1].expand.conv.weight
    before = {k: v.clone() for k, v in optimizer.state[expand].items()}
    masks = decide(net, COST)
    masks[2].channels[1][::2] = False
    masks[2].channels[0][:] = False
    dead = list(block.ops[0].parameters())
    follow(optimizer, shrink(net, masks))
    for key, value in optimizer.state[expand].items():
        old = before[key]
        assert torch.equal(value, old[1::2] if old.ndim == 4 else old), key
    known = {id(p) for group in optimizer.param_groups for p in group['params']}
    assert known == {id(p) for p in net.parameters()}
    assert not any(p in optimizer.state for p in dead)
    step()


def test_graphs_of_before_do_no_harm(net):
    """Whatever still holds autograd's nodes of uncut parameters, gradients flow."""
    image = torch.randn(2, 3, 64, 48)
    kept = net(image)[0].square().mean()
    masks = decide(net, COST, cap=0.5 * COST.network(net.space, net.arch))
    shrink(net, masks)
    net(image)[0].square().mean().backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert len(grads) > 10
    assert kept.requires_grad
