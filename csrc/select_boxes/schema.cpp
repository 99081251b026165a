#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "select_boxes(Tensor boxes, Tensor scores, Tensor? kept, Tensor? counts, SymInt limit, "
      "float score_threshold) -> (Tensor, Tensor, Tensor, Tensor)");
}
