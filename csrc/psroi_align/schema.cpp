#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "psroi_align(Tensor features, Tensor rois, float spatial_scale, int pooled_height, "
      "int pooled_width, int output_channels, int sampling_ratio, str reduce) -> (Tensor, Tensor)");
  m.def(
      "psroi_align_backward(Tensor grad_output, Tensor rois, Tensor argmax, SymInt[] feature_shape, "
      "float spatial_scale, int sampling_ratio, str reduce) -> Tensor");
}
