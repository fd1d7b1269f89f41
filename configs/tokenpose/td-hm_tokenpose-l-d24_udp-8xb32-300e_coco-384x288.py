_base_ = ['./td-hm_tokenpose-l-d24_udp-4xb16-300e_coco-256x192.py']

codec = dict(
    type='CenteredUDPHeatmap', input_size=(288, 384), heatmap_size=(72, 96), sigma=3
)
model = dict(
    head=dict(
        in_featuremap_size=(72, 96),
        heatmap_size=codec['heatmap_size'],
        patch_size=(4, 6),
        decoder=codec,
    )
)

train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
for step in (*train_pipeline, *val_pipeline):
    if step['type'] == 'TopdownAffine':
        step.update(input_size=codec['input_size'])
    elif step['type'] == 'GenerateTarget':
        step.update(encoder=codec)
del step
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=256)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
