// Checks the arguments of the op and allocates its results, the same way on every device.
#pragma once

#include "../common/tensors.h"
#include "psroi_align.h"

#include <string>
#include <tuple>

namespace harness::psroi {

inline Shape make_shape(
    torch::headeronly::IntHeaderOnlyArrayRef features, const Tensor& rois, int64_t pooled_height,
    int64_t pooled_width, int64_t output_channels, int64_t sampling_ratio,
    const std::string& reduce) {
  STD_TORCH_CHECK(features.size() == 4, "psroi_align: features must be (B, C, H, W)");
  STD_TORCH_CHECK(rois.dim() == 2 && rois.size(1) == 5, "psroi_align: rois must be (N, 5)");
  STD_TORCH_CHECK(reduce == "max" || reduce == "mean", "psroi_align: reduce is 'max' or 'mean'");
  STD_TORCH_CHECK(
      pooled_height > 0 && pooled_width > 0 && output_channels > 0 &&
          features[1] == output_channels * pooled_height * pooled_width,
      "psroi_align: features need output_channels * pooled_height * pooled_width channels");
  STD_TORCH_CHECK(features[2] > 0 && features[3] > 0, "psroi_align: the feature map is empty");
  return {features[0],    features[1],  features[2],    features[3],     output_channels,
          pooled_height, pooled_width, sampling_ratio, reduce == "mean"};
}

inline void check_rois(const Tensor& values, const Tensor& rois) {
  STD_TORCH_CHECK(
      rois.scalar_type() == accumulate_dtype(values.scalar_type()),
      "psroi_align: rois must be float64 with float64 features, else float32");
  STD_TORCH_CHECK(rois.device() == values.device(), "psroi_align: rois are on another device");
}

// Output in the dtype of the features; argmax is empty where the mean is taken.
inline std::tuple<Tensor, Tensor> make_outputs(
    const Tensor& features, const Tensor& rois, const Shape& shape) {
  const int64_t count = rois.size(0);
  Tensor output = torch::stable::new_empty(
      features, {count, shape.output_channels, shape.pooled_height, shape.pooled_width});
  Tensor argmax = torch::stable::new_empty(
      features,
      {shape.mean ? 0 : count, shape.output_channels, shape.pooled_height, shape.pooled_width},
      ScalarType::Long);
  return {output, argmax};
}

// Position of an output element; its input channel is output_channel * cells + cell.
struct Element {
  int64_t roi, input_channel, row, column;
};

HARNESS_HOST_DEVICE Element make_element(int64_t index, const Shape& shape) {
  const int64_t column = index % shape.pooled_width;
  const int64_t row = index / shape.pooled_width % shape.pooled_height;
  return {index / shape.channels, index % shape.channels, row, column};
}

}  // namespace harness::psroi
