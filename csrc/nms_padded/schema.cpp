#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "nms_padded(Tensor boxes, Tensor valid, float iou_threshold, SymInt max_output) "
      "-> (Tensor, Tensor)");
}
