import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.apis import init_model

from mmpose_lite.data import render_toy_image
from mmpose_lite.explain import PruningTrace, draw_pruning, trace_pruning

# A head on the image itself: 4 x 6 patches of 16 x 16 px.
COLUMNS, ROWS, SIDE = 4, 6, 16
WIDTH, HEIGHT = COLUMNS * SIDE, ROWS * SIDE
LAYERS = (1, 3)


def config(flip_test=False, graph=2, **sparse_cfg):
    codec = dict(
        type='MSRAHeatmap', input_size=(WIDTH, HEIGHT), heatmap_size=(16, 24), sigma=1
    )
    head = dict(
        type='mmpose_lite.TokenPoseHead',
        in_channels=3,
        out_channels=17,
        in_featuremap_size=(WIDTH, HEIGHT),
        heatmap_size=(16, 24),
        patch_size=(SIDE, SIDE),
        embed_dims=32,
        depths=(5,),
        num_heads=2,
        sparse_cfg=dict(layers=LAYERS, keep_ratio=0.5, **sparse_cfg),
        graph_depth=graph,
        joint_mask='limb' if graph else None,
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        decoder=codec,
    )
    if not sparse_cfg:
        del head['sparse_cfg']
    steps = ('LoadImage', 'GetBBoxCenterScale')
    pipeline = [dict(type=name) for name in steps]
    pipeline += [
        dict(type='TopdownAffine', input_size=codec['input_size']),
        dict(type='PackPoseInputs'),
    ]
    loader = dict(dataset=dict(type='CocoDataset', pipeline=pipeline))
    return Config(
        dict(
            model=dict(
                type='TopdownPoseEstimator',
                data_preprocessor=dict(
                    type='PoseDataPreprocessor',
                    mean=[123.675, 116.28, 103.53],
                    std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True,
                ),
                backbone=dict(type='mmpose_lite.RawImage'),
                head=head,
                test_cfg=dict(flip_test=flip_test, flip_mode='heatmap'),
            ),
            train_dataloader=loader,
            test_dataloader=loader,
        )
    )


def model(**options):
    torch.manual_seed(0)
    return init_model(config(**options), device='cpu')


@pytest.fixture(scope='module')
def scene():
    return render_toy_image(0, 'val', 0, (WIDTH, HEIGHT), max_persons=1).image


# MMPose's geometry enlarges boxes by a quarter: this one becomes the whole image.
BOX = np.array([WIDTH * 0.1, HEIGHT * 0.1, WIDTH * 0.9, HEIGHT * 0.9], np.float32)


def first_choices(net, scene):
    """What the selectors return, and what they see, for the scene itself."""
    seen = {}
    for layer, selector in net.head.pruning.selectors.items():
        selector.register_forward_hook(
            lambda _, __, out, at=int(layer): seen.setdefault(at, out)
        )
    image = torch.from_numpy(scene[..., ::-1].copy()).permute(2, 0, 1)
    pre = net.data_preprocessor
    with torch.no_grad():
        net.head((((image - pre.mean) / pre.std)[None],))
    return seen


def test_crop_is_what_the_network_saw(scene):
    trace = trace_pruning(model(mode='token'), scene, BOX)
    assert np.abs(trace.crop.astype(int) - scene).max() <= 1
    assert trace.grid == (COLUMNS, ROWS)
    assert trace.keypoints.shape == (17, 3)


def test_points_lie_where_the_heatmaps_peak(scene):
    net = model(mode='token')
    heatmaps = []
    # `predict` calls the head's `forward` past its hooks.
    net.head.heatmap_mlp.register_forward_hook(
        lambda _, __, out: heatmaps.append(out[0])
    )
    trace = trace_pruning(net, scene, BOX)
    peaks = heatmaps[0].argmax(1)
    expected = torch.stack([peaks % 16, peaks // 16], 1).numpy() * 4  # px of the crop
    # The codec moves a peak by a quarter of a heatmap pixel.
    assert np.abs(trace.keypoints[:, :2] - expected).max() <= 1.5


def test_tokens_left_shrink_from_layer_to_layer(scene):
    net = model(mode='token')
    trace = trace_pruning(net, scene, BOX)
    raw = first_choices(net, scene)
    assert {layer: mask.sum() for layer, mask in trace.kept.items()} == {1: 12, 3: 6}
    # Indices of the second layer count what the first has left.
    left = np.flatnonzero(trace.kept[1])
    assert raw[1][0].tolist() == left.tolist()
    assert np.flatnonzero(trace.kept[3]).tolist() == left[raw[3][0].numpy()].tolist()
    assert raw[3][0].tolist() != left[raw[3][0].numpy()].tolist()


@pytest.mark.parametrize(
    ('options', 'per_query'),
    [
        (dict(mode='mask'), True),
        (dict(mode='gather'), True),
        (dict(mode='block', block=2), True),
        (dict(mode='shared'), False),
    ],
)
def test_masks_are_those_of_the_first_image(options, per_query, scene):
    # A flip test runs the network twice; the second time shall not be recorded.
    net = model(flip_test=True, **options)
    trace = trace_pruning(net, scene, BOX)
    assert trace.per_query is per_query
    tokens = COLUMNS * ROWS
    for layer, chosen in first_choices(net, scene).items():
        expected = net.head.pruning.as_mask(chosen)[0].expand(tokens, tokens).numpy()
        assert np.array_equal(trace.kept[layer], expected if per_query else expected[0])


def test_hooks_are_gone_afterwards(scene):
    net = model(mode='token')
    trace_pruning(net, scene, BOX)
    modules = (net.backbone, *net.head.pruning.selectors.values())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_graph_mask_is_there_with_graph_layers_only(scene):
    with_graph = trace_pruning(model(mode='token'), scene, BOX).joint_mask
    assert with_graph.shape == (17, 17)
    assert with_graph[5, [5, 6, 7]].all()
    assert with_graph[5].sum() == 3  # a shoulder: itself, the other one, its elbow
    assert trace_pruning(model(graph=0, mode='token'), scene, BOX).joint_mask is None


def test_dense_head_is_refused(scene):
    with pytest.raises(ValueError, match='set sparse_cfg of its TokenPoseHead'):
        trace_pruning(model(), scene, BOX)


META = dict(
    keypoint_id2name={0: 'left', 1: 'right'},
    flip_indices=[1, 0],
    skeleton_links=[(0, 1)],
    skeleton_link_colors=np.array([[0, 255, 0]]),
)


def drawn_trace(**changes):
    """Two joints on white, of 2 x 3 patches; only the first is kept."""
    kept = np.zeros(6, bool)
    kept[0] = True
    options = dict(
        crop=np.full((60, 40, 3), 255, np.uint8),
        keypoints=np.array([[10, 50, 0.9], [30, 50, 0.4]]),
        grid=(2, 3),
        mode='token',
        kept={3: kept},
    )
    return PruningTrace(**options | changes)


def test_token_of_a_point():
    trace = drawn_trace()
    points = [(0, 0), (39, 0), (10, 30), (39, 59), (-5, 99)]
    assert [trace.token_at(np.array(p)) for p in points] == [0, 1, 2, 5, 4]


def panel(picture, number, panels):
    """The crop of a panel in a row: without the titles above."""
    width = picture.shape[1] // panels
    part = picture[-int(width * 1.3) :, number * width : (number + 1) * width]
    return part[:, width // 10 : -width // 10]


def test_what_is_dropped_is_dark():
    picture = draw_pruning([drawn_trace()], META)
    kept = panel(picture, 1, 2)
    height, width = kept.shape[:2]
    assert (kept[height // 10, width // 4] == 255).all()
    assert (kept[height // 10, width * 3 // 4] < 80).all()
    # The input is not darkened, and its link is green.
    shown = panel(picture, 0, 2)
    assert (shown[height // 10, width * 3 // 4] == 255).all()
    row = shown[:, width // 2].astype(int)
    assert ((row[:, 1] - row[:, [0, 2]].max(axis=1)) > 200).any()


def test_joints_below_the_threshold_carry_no_link():
    shown = panel(draw_pruning([drawn_trace()], META, score_threshold=0.5), 0, 2)
    assert (shown[:, shown.shape[1] // 2] == 255).all()


def count_yellow(picture):
    b, g, r = np.moveaxis(picture.astype(int), 2, 0)
    return int(((r > 200) & (g > 170) & (b < 60)).sum())


def test_a_query_of_its_own_is_framed_and_has_a_second_row():
    per_query = drawn_trace(mode='mask', kept={3: np.eye(6, dtype=bool)})
    shared, own = draw_pruning([drawn_trace()], META), draw_pruning([per_query], META)
    assert own.shape[0] > 1.7 * shared.shape[0]
    assert count_yellow(own) > 100
    assert count_yellow(shared) == 0
    right = draw_pruning([per_query], META, query='right')
    assert not np.array_equal(own, right)


def test_graph_adds_a_panel():
    graph = drawn_trace(joint_mask=np.ones((2, 2), bool))
    assert (
        draw_pruning([graph], META).shape[1]
        > 1.4 * draw_pruning([drawn_trace()], META).shape[1]
    )


@pytest.mark.parametrize(
    ('traces', 'query', 'message'),
    [
        ([], None, 'traces must hold at least one'),
        ([drawn_trace(), drawn_trace(mode='shared')], None, 'of one model, got 2'),
        ([drawn_trace()], 'nose', "query must be one of .*'left', 'right'.*'nose'"),
    ],
)
def test_bad_arguments(traces, query, message):
    with pytest.raises(ValueError, match=message):
        draw_pruning(traces, META, query)
