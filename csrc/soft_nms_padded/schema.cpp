#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "soft_nms_padded(Tensor boxes, Tensor scores, Tensor? counts, float score_threshold, "
      "float iou_threshold, float min_score, str method, float sigma) -> Tensor");
}
