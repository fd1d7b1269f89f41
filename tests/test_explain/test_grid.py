import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

# isort: split
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.apis import init_model

from mmpose_lite.data import generate_toy_coco
from mmpose_lite.explain import draw_pose_grid, predict_posed_images
from mmpose_lite.explain.grid import PosedImage

META = dict(
    dataset_name='two',
    keypoint_colors=np.array([[255, 0, 0], [0, 0, 255]]),
    skeleton_links=[(0, 1)],
    skeleton_link_colors=np.array([[0, 255, 0]]),
)
WIDTH, HEIGHT = 60, 40


def posed(score=1.0, flag=2):
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    truth = np.array([[(10, 10, flag), (10, 30, flag)]], float)
    predicted = np.array([[(40, 10, score), (40, 30, score)]])
    return PosedImage(image, truth, predicted)


def panels(grid):
    """The truth's and the prediction's panel of a grid with one cell."""
    top = grid.shape[0] - HEIGHT - 8
    return grid[top:, :WIDTH], grid[top:, WIDTH : 2 * WIDTH]


def is_green(pixel):
    b, g, r = pixel.tolist()
    return g > 200 > 100 > max(b, r)


def test_truth_is_left_and_prediction_right():
    truth, predicted = panels(draw_pose_grid([posed()], META))
    assert is_green(truth[20, 10])
    assert not is_green(truth[20, 40])
    assert is_green(predicted[20, 40])
    assert not is_green(predicted[20, 10])
    # The meta's colours are RGB, the grid is BGR.
    assert truth[10, 10].argmax() == 2
    assert truth[30, 10].argmax() == 0


def test_unlabelled_and_unsure_joints_are_not_drawn():
    grid = draw_pose_grid([posed(score=0.1, flag=0)], META, score_threshold=0.2)
    for panel in panels(grid):
        assert (panel[:HEIGHT, :WIDTH] == 128).all()


def test_hidden_joints_are_labelled_and_drawn():
    truth, _ = panels(draw_pose_grid([posed(flag=1)], META))
    assert is_green(truth[20, 10])


@pytest.mark.parametrize(
    ('count', 'columns', 'cells'), [(1, 3, 1), (5, 2, 6), (4, 4, 4)]
)
def test_grid_has_a_cell_per_image(count, columns, cells):
    grid = draw_pose_grid([posed()] * count, META, columns=columns)
    across = min(columns, count)
    assert grid.dtype == np.uint8
    assert grid.shape[1] == across * (2 * WIDTH + 8)
    assert (grid.shape[0] - 26) == (cells // across) * (HEIGHT + 8)
    assert grid[:26].min() < 128  # the titles


def test_zoom_scales_joints_with_the_image():
    grid = draw_pose_grid([posed()], META, zoom=2)
    truth = grid[grid.shape[0] - 2 * HEIGHT - 8 :, : 2 * WIDTH]
    assert is_green(truth[40, 20])


def test_arguments_are_checked():
    other = PosedImage(np.zeros((9, 9, 3), np.uint8), posed().truth, posed().predicted)
    for match, call in (
        ('items', lambda: draw_pose_grid([], META)),
        ('one size', lambda: draw_pose_grid([posed(), other], META)),
        ('columns', lambda: draw_pose_grid([posed()], META, columns=0)),
        ('zoom', lambda: draw_pose_grid([posed()], META, zoom=0)),
    ):
        with pytest.raises(ValueError, match=match):
            call()


@pytest.mark.filterwarnings('ignore:The metainfo config file:UserWarning')
@pytest.mark.filterwarnings('ignore:dataset_meta are not saved:UserWarning')
def test_predictions_come_with_their_truth(tmp_path):
    (config,) = (Path(__file__).parents[2] / 'configs' / 'demo').glob('*.py')
    cfg = Config.fromfile(config)
    model = init_model(cfg, None, device='cpu')
    toy = generate_toy_coco(tmp_path, 1, 3, (96, 96))
    items = predict_posed_images(model, toy.annotations['val'], toy.images['val'], 2)
    assert len(items) == 2
    for item in items:
        assert item.image.shape == (96, 96, 3)
        assert item.truth.shape == item.predicted.shape == (len(item.truth), 17, 3)
        assert len(item.truth) > 0
    assert draw_pose_grid(items, model.dataset_meta).shape[1] == 2 * (2 * 96 + 8)
    with pytest.raises(ValueError, match='count'):
        predict_posed_images(model, toy.annotations['val'], toy.images['val'], 0)
    toy.images['val'].rename(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match=r'00000000\.jpg'):
        predict_posed_images(model, toy.annotations['val'], toy.images['val'], 1)
