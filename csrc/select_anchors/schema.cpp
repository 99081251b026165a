#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "select_anchors(Tensor[] logits, Tensor[] deltas, Tensor anchors, int limit, "
      "float max_log_ratio, int height, int width, float inside) -> (Tensor, Tensor, Tensor)");
}
