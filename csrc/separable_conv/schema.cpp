#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "separable_conv(Tensor[] maps, Tensor[] depthwise, Tensor[] depthwise_bias, "
      "Tensor[] pointwise, Tensor[] pointwise_bias, int out_channels, bool relu) -> Tensor");
}
