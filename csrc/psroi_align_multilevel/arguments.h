// Checks the arguments of the op and allocates its results, the same way on every device.
#pragma once

#include "../psroi_align/arguments.h"
#include "psroi_align_multilevel.h"

#include <string>
#include <tuple>
#include <vector>

namespace harness::psroi {

// Arguments of the op and its backward; sizes are height and width, level by level.
struct Request {
  int64_t channels;
  std::vector<int64_t> sizes, strides;
  double finest_scale;
  bool inclusive;
  int64_t pooled_height, pooled_width, output_channels, sampling_ratio;
  std::string reduce;
};

inline Request make_backward_request(
    const Tensor& grad_output, const std::vector<int64_t>& map_sizes,
    const std::vector<int64_t>& strides, double finest_scale, bool inclusive,
    int64_t sampling_ratio, const std::string& reduce) {
  const int64_t c = grad_output.size(1), h = grad_output.size(2), w = grad_output.size(3);
  return {c * h * w, map_sizes, strides, finest_scale, inclusive, h, w, c, sampling_ratio, reduce};
}

inline std::vector<int64_t> read_sizes(const std::vector<Tensor>& maps) {
  std::vector<int64_t> sizes;
  for (const Tensor& map : maps) {
    STD_TORCH_CHECK(map.dim() == 4, "psroi_align_multilevel: maps must be (B, C, H, W)");
    sizes.push_back(map.size(2));
    sizes.push_back(map.size(3));
  }
  return sizes;
}

inline void check_maps(const std::vector<Tensor>& maps, const Tensor& boxes) {
  for (const Tensor& map : maps) {
    STD_TORCH_CHECK(
        map.size(0) == boxes.size(0) && map.size(1) == maps[0].size(1),
        "psroi_align_multilevel: maps and boxes differ in images, or maps in channels");
    STD_TORCH_CHECK(
        map.scalar_type() == maps[0].scalar_type(), "psroi_align_multilevel: maps differ in dtype");
    check_rois(map, boxes);
  }
}

template <typename T>
Pyramid<T> make_pyramid(const Request& asked, const Tensor& boxes) {
  STD_TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(2) == 4, "psroi_align_multilevel: boxes must be (B, P, 4)");
  const auto count = static_cast<int64_t>(asked.strides.size());
  STD_TORCH_CHECK(
      0 < count && count <= kLevels && asked.sizes.size() == 2 * asked.strides.size(),
      "psroi_align_multilevel: one to eight maps, with a stride each");
  STD_TORCH_CHECK(
      asked.reduce == "max" || asked.reduce == "mean",
      "psroi_align_multilevel: reduce is 'max' or 'mean'");
  STD_TORCH_CHECK(
      asked.pooled_height > 0 && asked.pooled_width > 0 && asked.output_channels > 0 &&
          asked.channels == asked.output_channels * asked.pooled_height * asked.pooled_width,
      "psroi_align_multilevel: maps need output_channels * pooled_height * pooled_width channels");
  Pyramid<T> pyramid{{}, count, boxes.size(1), asked.inclusive};
  for (int64_t k = 0; k < count; ++k) {
    const int64_t height = asked.sizes[2 * k], width = asked.sizes[2 * k + 1];
    STD_TORCH_CHECK(height > 0 && width > 0, "psroi_align_multilevel: a map is empty");
    STD_TORCH_CHECK(asked.strides[k] > 0, "psroi_align_multilevel: strides are positive");
    const Shape shape{
        boxes.size(0), asked.channels, height, width, asked.output_channels, asked.pooled_height,
        asked.pooled_width, asked.sampling_ratio, asked.reduce == "mean"};
    pyramid.levels[k] = make_level<T>(shape, k, asked.strides[k], asked.finest_scale);
  }
  return pyramid;
}

template <typename Scalar>
Maps<const Scalar> read_maps(const std::vector<Tensor>& maps) {
  Maps<const Scalar> result{};
  for (size_t k = 0; k < maps.size(); ++k) {
    result.data[k] = read<Scalar>(maps[k]);
    for (int i = 0; i < 4; ++i) result.strides[k][i] = maps[k].stride(i);
  }
  return result;
}

template <typename T>
Maps<T> write_maps(std::vector<Tensor>& maps) {
  Maps<T> result{};
  for (size_t k = 0; k < maps.size(); ++k) {
    result.data[k] = write<T>(maps[k]);
    for (int i = 0; i < 4; ++i) result.strides[k][i] = maps[k].stride(i);
  }
  return result;
}

// Output in the dtype of the maps; argmax, a position in a cell's grid, is empty for the mean.
inline std::tuple<Tensor, Tensor> make_pooled(
    const Tensor& map, const Tensor& boxes, const Request& asked) {
  const int64_t count = boxes.size(0) * boxes.size(1), rows = asked.reduce == "mean" ? 0 : count;
  const int64_t c = asked.output_channels, h = asked.pooled_height, w = asked.pooled_width;
  return {
      torch::stable::new_empty(map, {count, c, h, w}),
      torch::stable::new_empty(map, {rows, c, h, w}, ScalarType::Int)};
}

// Zeros in the dtype of the boxes, which is the one that the gradient is summed in.
inline std::vector<Tensor> make_gradients(
    const Tensor& boxes, const Request& asked, bool channels_last) {
  std::vector<Tensor> gradients;
  for (size_t k = 0; k < asked.strides.size(); ++k) {
    const int64_t images = boxes.size(0), height = asked.sizes[2 * k], width = asked.sizes[2 * k + 1];
    if (channels_last) {
      const Tensor zeros =
          torch::stable::new_zeros(boxes, {images, height, width, asked.channels});
      const Tensor turned = torch::stable::transpose(zeros, 1, 3);
      gradients.push_back(torch::stable::transpose(turned, 2, 3));
    } else {
      gradients.push_back(
          torch::stable::new_zeros(boxes, {images, asked.channels, height, width}));
    }
  }
  return gradients;
}

// Planes of channels, for a kernel that writes all of them.
inline std::vector<Tensor> make_planes(const Tensor& boxes, const Request& asked) {
  std::vector<Tensor> gradients;
  for (size_t k = 0; k < asked.strides.size(); ++k) {
    gradients.push_back(torch::stable::new_empty(
        boxes, {boxes.size(0), asked.channels, asked.sizes[2 * k], asked.sizes[2 * k + 1]}));
  }
  return gradients;
}

}  // namespace harness::psroi
