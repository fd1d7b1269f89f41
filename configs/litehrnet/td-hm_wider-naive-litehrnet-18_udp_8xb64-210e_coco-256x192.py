_base_ = ['./td-hm_wider-naive-litehrnet-18_8xb64-210e_coco-256x192.py']

# PP-TinyPose's geometry: unbiased coordinates, and so no shift of the flipped map.
codec = dict(type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
model = dict(head=dict(decoder=codec), test_cfg=dict(shift_heatmap=False))

train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
for step in (*train_pipeline, *val_pipeline):
    if step['type'] == 'TopdownAffine':
        step.update(input_size=codec['input_size'], use_udp=True)
    elif step['type'] == 'GenerateTarget':
        step.update(encoder=codec)
del step
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
