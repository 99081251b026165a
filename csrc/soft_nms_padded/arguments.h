#pragma once

#include "../common/tensors.h"
#include "soft_nms_padded.h"

#include <optional>
#include <string>

namespace harness::soft_nms {

inline Rule make_rule(
    double score_threshold, double iou_threshold, double min_score, const std::string& method,
    double sigma) {
  STD_TORCH_CHECK(
      method == "linear" || method == "gaussian",
      "soft_nms_padded: method is 'linear' or 'gaussian'");
  STD_TORCH_CHECK(score_threshold >= 0, "soft_nms_padded: score_threshold is negative");
  return {score_threshold, iou_threshold, min_score, sigma, method == "gaussian"};
}

inline void check(
    const Tensor& boxes, const Tensor& scores, const std::optional<Tensor>& counts) {
  STD_TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(2) == 4, "soft_nms_padded: boxes must be (B, N, 4)");
  STD_TORCH_CHECK(
      scores.dim() == 3 && scores.size(0) == boxes.size(0) && scores.size(2) == boxes.size(1),
      "soft_nms_padded: scores must be (B, C, N)");
  STD_TORCH_CHECK(
      scores.scalar_type() == boxes.scalar_type() && scores.device() == boxes.device(),
      "soft_nms_padded: boxes and scores differ in dtype or device");
  STD_TORCH_CHECK(
      !counts || (counts->dim() == 1 && counts->size(0) == boxes.size(0) &&
                  counts->scalar_type() == ScalarType::Long && counts->device() == boxes.device()),
      "soft_nms_padded: counts must be (B,) int64");
}

template <typename T, typename Scalar>
Classes<T, Scalar> read_classes(
    const Tensor& boxes, const Tensor& scores, const std::optional<Tensor>& counts,
    const Rule& rule) {
  return {
      read_corners<Scalar>(boxes), read<Scalar>(scores), scores.stride(0), scores.stride(1),
      scores.stride(2), counts ? read<int64_t>(*counts) : nullptr, scores.size(1), scores.size(2),
      static_cast<T>(rule.score_threshold)};
}

inline Tensor make_output(const Tensor& scores) {
  return torch::stable::new_empty(scores, {scores.size(0), scores.size(1), scores.size(2)});
}

inline std::optional<Tensor> in_order(const std::optional<Tensor>& counts) {
  if (!counts) return std::nullopt;
  return torch::stable::contiguous(*counts);
}

}  // namespace harness::soft_nms
