# The one line that an MMPose project needs to use the package's models.
custom_imports = dict(imports=['mmpose_lite'], allow_failed_imports=False)
