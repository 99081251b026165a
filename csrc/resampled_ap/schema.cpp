#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "resampled_ap(Tensor weights, Tensor points, Tensor row, Tensor base, Tensor image, "
      "Tensor below, Tensor hit, Tensor change) -> Tensor");
}
