"""A manifest with a value in every layer."""

MANIFEST = """\
suite: demo
defaults:
  meters: [coco_ap]
  columns: [ap]
  evaluate: {batch_size: 4}
  detector:
    input: {size: 320}
    neck: {use: tiny_fpn, params: {channels: 245}}
    rpn: tiny_rpn
    roi_op: psroi_align_max
    box_head: tiny_box_head
    train: {steps: 100, optimizer: {lr: 0.5, momentum: 0.8}}
profiles:
  quick:
    data: synthetic
    evaluate: {max_images: 7}
    detector:
      train: {batch_size: 2, optimizer: {lr: 0.25}}
  long:
    data: {use: coco, params: {root: data/coco}}
    detector:
      train: {batch_size: 32}
detectors:
  one:
    backbone: mobilenetv3_d
    neck: {params: {groups: [7, 5, 1, 1]}}
    profiles:
      quick:
        train: {optimizer: {momentum: 0.7}}
      long:
        train: {batch_size: 8}
  two:
    backbone: mobilenetv3_bc
    neck: other_neck
    train: {optimizer: {lr: 0.125}}
  whole:
    detector: ssdlite
"""
