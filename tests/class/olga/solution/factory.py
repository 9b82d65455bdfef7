from solution.backbone import Backbone


def build_model():
    return Backbone(width=8)
