// Checks the arguments of the op and allocates its result, the same way on every device.
#pragma once

#include "../common/tensors.h"
#include "separable_conv.h"

#include <vector>

namespace harness::separable {

// The weights of one kind, one tensor per map.
using Weights = std::vector<Tensor>;

inline bool share_device(const Tensor& a, const Tensor& b) {
  return a.is_cuda() == b.is_cuda() && a.get_device_index() == b.get_device_index();
}

inline void check_weights(
    const Tensor& map, const Tensor& depthwise, const Tensor& depthwise_bias,
    const Tensor& pointwise, const Tensor& pointwise_bias) {
  const int64_t channels = map.size(1);
  STD_TORCH_CHECK(
      depthwise.dim() == 2 && depthwise.size(0) == kTaps && depthwise.size(1) == channels &&
          depthwise_bias.dim() == 1 && depthwise_bias.size(0) == channels &&
          pointwise_bias.dim() == 1 && pointwise_bias.size(0) == channels,
      "separable_conv: depthwise weights must be (9, C), biases (C,)");
  STD_TORCH_CHECK(
      pointwise.dim() == 3 && pointwise.size(1) == pointwise.size(2) && pointwise.size(1) > 0 &&
          pointwise.size(1) <= channels && pointwise.size(0) * pointwise.size(1) >= channels,
      "separable_conv: pointwise weights must be (blocks, width, width) and cover all channels");
  const ScalarType wanted = accumulate_dtype(map.scalar_type());
  for (const Tensor* weight : {&depthwise, &depthwise_bias, &pointwise, &pointwise_bias}) {
    STD_TORCH_CHECK(
        weight->scalar_type() == wanted && weight->is_contiguous() && share_device(*weight, map),
        "separable_conv: weights must be contiguous, on the maps' device, in float32 "
        "(float64 for maps of that)");
  }
}

// What the op is given. Weights are lists with one tensor per map.
struct Arguments {
  std::vector<Tensor> maps;
  Weights depthwise, depthwise_bias, pointwise, pointwise_bias;
  int64_t out_channels;
  bool relu;

  void check() const {
    STD_TORCH_CHECK(
        !maps.empty() && maps.size() <= kMaps, "separable_conv: there must be one to eight maps");
    for (const Weights* each : {&depthwise, &depthwise_bias, &pointwise, &pointwise_bias}) {
      STD_TORCH_CHECK(
          each->size() == maps.size(), "separable_conv: each map needs weights of its own");
    }
    for (size_t k = 0; k < maps.size(); ++k) check_map(k);
    STD_TORCH_CHECK(
        out_channels >= maps[0].size(1), "separable_conv: out_channels must be at least C");
  }

  // (B, cells, out_channels) in the dtype of the maps.
  Tensor make_rows() const {
    int64_t cells = 0;
    for (const Tensor& map : maps) cells += map.size(2) * map.size(3);
    return torch::stable::new_empty(maps[0], {maps[0].size(0), cells, out_channels});
  }

  template <typename Scalar>
  auto make_job() const {
    using T = accumulate_t<Scalar>;
    const auto count = static_cast<int64_t>(maps.size());
    Job<Scalar, T> job{{}, count, maps[0].size(0), maps[0].size(1), out_channels, 0, relu};
    for (size_t k = 0; k < maps.size(); ++k) {
      const Tensor& map = maps[k];
      job.maps[k] = {
          read<Scalar>(map), map.stride(0), map.stride(2), map.stride(3), map.size(2),
          map.size(3), job.cells, read<T>(depthwise[k]), read<T>(depthwise_bias[k]),
          read<T>(pointwise[k]), read<T>(pointwise_bias[k]), pointwise[k].size(0),
          pointwise[k].size(1)};
      job.cells += job.maps[k].cells();
    }
    return job;
  }

 private:
  void check_map(size_t k) const {
    const Tensor &map = maps[k], &first = maps[0];
    STD_TORCH_CHECK(
        map.dim() == 4 && (map.stride(1) == 1 || map.size(1) == 1),
        "separable_conv: maps must be (B, C, H, W) with their channels side by side");
    STD_TORCH_CHECK(
        map.size(0) == first.size(0) && map.size(1) == first.size(1) &&
            map.scalar_type() == first.scalar_type() && share_device(map, first),
        "separable_conv: maps differ in images, channels, dtype or device");
    check_weights(map, depthwise[k], depthwise_bias[k], pointwise[k], pointwise_bias[k]);
  }
};

}  // namespace harness::separable
