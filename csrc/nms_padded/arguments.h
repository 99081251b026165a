#pragma once

#include "../common/tensors.h"
#include "present.h"

#include <tuple>

namespace harness::nms {

inline void check(const Tensor& boxes, const Tensor& valid, int64_t max_output) {
  STD_TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(2) == 4, "nms_padded: boxes must be (G, N, 4)");
  const bool flags = valid.dim() == 2 && valid.size(0) == boxes.size(0) &&
      valid.size(1) == boxes.size(1) && valid.scalar_type() == ScalarType::Bool;
  const bool counts = valid.dim() == 1 && valid.size(0) == boxes.size(0) &&
      valid.scalar_type() == ScalarType::Long;
  STD_TORCH_CHECK(flags || counts, "nms_padded: valid must be (G, N) bool or (G,) int64 counts");
  STD_TORCH_CHECK(valid.device() == boxes.device(), "nms_padded: valid is on another device");
  STD_TORCH_CHECK(max_output >= 0, "nms_padded: max_output is negative");
}

inline Present read_present(const Tensor& valid, int64_t size) {
  if (valid.dim() == 1) return {nullptr, read<int64_t>(valid), size};
  return {read<bool>(valid), nullptr, size};
}

// Indices (G, max_output) and counts (G), both still to be written.
inline std::tuple<Tensor, Tensor> make_results(const Tensor& boxes, int64_t max_output) {
  const int64_t groups = boxes.size(0);
  return {
      torch::stable::new_empty(boxes, {groups, max_output}, ScalarType::Long),
      torch::stable::new_empty(boxes, {groups}, ScalarType::Long)};
}

}  // namespace harness::nms
