// Checks the arguments and allocates the result, the same way on every device.
#pragma once

#include "../common/tensors.h"
#include "kernel.h"

namespace harness::resize {

inline void check(const Tensor& image, int64_t height, int64_t width) {
  STD_TORCH_CHECK(
      image.dim() == 3 && image.scalar_type() == ScalarType::Byte,
      "resize_bilinear: image must be (C, h, w) uint8");
  STD_TORCH_CHECK(
      image.numel() > 0 && height > 0 && width > 0, "resize_bilinear: sizes must be positive");
}

inline Tensor make_result(const Tensor& image, int64_t height, int64_t width, bool interleaved) {
  const int64_t channels = image.size(0);
  if (!interleaved) return torch::stable::new_empty(image, {channels, height, width});
  const Tensor pixels = torch::stable::new_empty(image, {height, width, channels});
  // torch 2.11 has no permute there
  const Tensor turned = torch::stable::transpose(pixels, 0, 2);
  return torch::stable::transpose(turned, 1, 2);
}

inline Strides strides_of(const Tensor& image) {
  return {image.stride(0), image.stride(1), image.stride(2)};
}

inline Job make_job(const Tensor& image, Tensor& result) {
  return {
      read<uint8_t>(image), strides_of(image), write<uint8_t>(result), strides_of(result),
      image.size(0), Axis(image.size(1), result.size(1)), Axis(image.size(2), result.size(2))};
}

}  // namespace harness::resize
