#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def(
      "psroi_align_multilevel(Tensor[] maps, Tensor boxes, int[] strides, float finest_scale, "
      "bool inclusive, int pooled_height, int pooled_width, int output_channels, "
      "int sampling_ratio, str reduce) -> (Tensor, Tensor)");
  m.def(
      "psroi_align_multilevel_backward(Tensor grad_output, Tensor boxes, Tensor argmax, "
      "SymInt[] map_sizes, int[] strides, float finest_scale, bool inclusive, int sampling_ratio, "
      "str reduce, bool channels_last) -> Tensor[]");
}
