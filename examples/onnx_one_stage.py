"""Detect with a YOLOX of `harness export-model ... --to onnxruntime`, without torch and harness.

python onnx_one_stage.py FOLDER IMAGE

An image larger than the input is shrunk by Pillow, which smooths where the harness does not.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def detect(folder, image):
    """[(class name, score, (left, top, right, bottom) in the image's pixels)], best first."""
    about = json.loads((Path(folder) / "model.json").read_text())
    session = onnxruntime.InferenceSession(Path(folder) / about["files"][0])
    given, high, wide = about["input"], about["input"]["height"], about["input"]["width"]
    scale = min(high / image.height, wide / image.width)  # letterbox, at the upper left
    size = int(image.width * scale), int(image.height * scale)
    canvas = np.full((high, wide, 3), given["fill"], np.float64)
    canvas[: size[1], : size[0]] = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    matrix, offset = about["normalize"]["matrix"], about["normalize"]["offset"]
    pixels = (canvas @ np.transpose(matrix) + offset).transpose(2, 0, 1)[None].astype(np.float32)
    maps = [m[0] for m in session.run(None, {session.get_inputs()[0].name: pixels})]
    third, found = len(maps) // 3, []  # boxes of all levels, then objectness, then classes
    for box, sure, kinds in zip(
        *(maps[i * third : (i + 1) * third] for i in range(3)), strict=True
    ):
        stride, cells = high // box.shape[1], np.stack(np.indices(box.shape[1:])[::-1])
        center, half = (box[:2] + cells) * stride, np.exp(box[2:]) * stride / 2
        scores = 1 / (1 + np.exp(-sure[0])) / (1 + np.exp(-kinds.max(0)))
        rows = np.concatenate([center - half, center + half, scores[None], kinds.argmax(0)[None]])
        found.append(rows.reshape(6, -1).T)
    rows, kept = np.concatenate(found), []
    limit = float(re.search(r"IoU ([\d.]+)", about["nms"])[1])
    rows = rows[rows[:, 4] >= about["score_threshold"]]
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        same = np.array([k for k in kept if k[5] == row[5]]).reshape(-1, 6)
        sides = np.minimum(same[:, 2:4], row[2:4]) - np.maximum(same[:, :2], row[:2])
        inter = np.prod(np.maximum(sides, 0), 1)
        areas = np.prod(same[:, 2:4] - same[:, :2], 1) + np.prod(row[2:4] - row[:2])
        if not (inter / (areas - inter) > limit).any():
            kept.append(row)
    best = kept[: about["detections_per_image"]]
    return [(about["classes"][int(r[5])], float(r[4]), tuple(r[:4] / scale)) for r in best]


if __name__ == "__main__":
    for name, score, box in detect(sys.argv[1], Image.open(sys.argv[2])):
        print(f"{score:.3f} {name} " + " ".join(f"{side:.1f}" for side in box))
