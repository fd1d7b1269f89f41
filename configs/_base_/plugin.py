# The one line that an MMPose project needs to use the package's models.
custom_imports = dict(imports=['mmpose_lite'], allow_failed_imports=False)
# A list of hooks replaces that of a base, so each config adds these to its own.
guards = [
    dict(type='mmpose_lite.CheckFitHook'),
    dict(type='mmpose_lite.DataGuardHook'),
]
# MMPose's data sets; where one cannot be loaded, the error says which file and why.
coco_data = dict(dataset=dict(type='mmpose_lite.CocoDataset'))
mpii_data = dict(dataset=dict(type='mmpose_lite.MpiiDataset'))
