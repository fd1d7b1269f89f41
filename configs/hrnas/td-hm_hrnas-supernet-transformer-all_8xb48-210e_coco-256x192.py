_base_ = ['./td-hm_hrnas-supernet_8xb48-210e_coco-256x192.py']

# With a transformer of 64 tokens in every block.
model = dict(backbone=dict(space=dict(base='keypoint', transformer='all')))
