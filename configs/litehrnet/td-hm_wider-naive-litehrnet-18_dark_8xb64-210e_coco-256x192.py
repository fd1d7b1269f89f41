_base_ = ['./td-hm_wider-naive-litehrnet-18_8xb64-210e_coco-256x192.py']

# PP-TinyPose's geometry: UDP's warp, but targets and decoding at px / 4 with DARK (blur
# kernel 3), and so a shift of the flipped map.
codec = dict(
    type='MSRAHeatmap',
    input_size=(192, 256),
    heatmap_size=(48, 64),
    sigma=2,
    unbiased=True,
    blur_kernel_size=3,
)
model = dict(head=dict(decoder=codec))

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
