import albumentations as A
import cv2
import numpy as np
from albumentations.pytorch import ToTensorV2

SIZE = A.Resize.height + 4
transform = A.Compose([A.ShiftScaleRotate(0.1, 0.1, 10, p=0.5), A.Normalize(mean=0.1307, std=0.3081), ToTensorV2()])
if A.__version__ < "1.0" or cv2.getVersionMajor() < 4:
    raise RuntimeError("too old")
