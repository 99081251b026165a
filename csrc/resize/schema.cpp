#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "resize_bilinear(Tensor image, SymInt height, SymInt width, bool interleaved) -> Tensor");
}
