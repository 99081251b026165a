// Checks the arguments of the op and allocates its results, the same way on every device.
#pragma once

#include "../common/tensors.h"
#include "select_anchors.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

namespace harness::select_anchors {

struct Arguments {
  const std::vector<Tensor>&logits, &deltas;
  const Tensor& anchors;
  int64_t limit;
  double max_log_ratio;
  int64_t height, width;
  double inside;

  int64_t images() const { return logits[0].size(0); }
  int64_t levels() const { return static_cast<int64_t>(logits.size()); }
  static int64_t level_size(const Tensor& logits) {
    return logits.size(1) * logits.size(2) * logits.size(3);
  }

  void check() const {
    STD_TORCH_CHECK(
        !logits.empty() && logits.size() <= kLevels && logits.size() == deltas.size(),
        "select_anchors: one to eight levels, with logits and deltas each");
    STD_TORCH_CHECK(limit >= 0, "select_anchors: limit is negative");
    int64_t total = 0;
    for (size_t k = 0; k < logits.size(); ++k) {
      check_level(logits[k], deltas[k]);
      total += level_size(logits[k]);
    }
    STD_TORCH_CHECK(
        anchors.dim() == 2 && anchors.size(0) == total && anchors.size(1) == 4 &&
            anchors.scalar_type() == ScalarType::Float && anchors.device() == logits[0].device(),
        "select_anchors: anchors must be (N, 4) float32, one for each logit of an image");
    STD_TORCH_CHECK(
        total < std::numeric_limits<int32_t>::max(), "select_anchors: too many anchors");
  }

  // Rows of a level in the result.
  int64_t rows() const {
    int64_t largest = 0;
    for (const Tensor& level : logits) largest = std::max(largest, level_size(level));
    return std::min(limit, largest);
  }

  template <typename Scalar>
  Request<Scalar> make_request() const {
    const Corners<float> corners{read<float>(anchors), 0, anchors.stride(0), anchors.stride(1)};
    const Coding coding{
        static_cast<float>(max_log_ratio), static_cast<float>(height), static_cast<float>(width),
        static_cast<float>(inside)};
    const auto wanted = static_cast<uint32_t>(rows());
    Request<Scalar> request{{}, levels(), corners, coding, wanted, wanted};
    uint32_t first = 0;
    for (size_t k = 0; k < logits.size(); ++k) {
      request.levels[k] = make_maps<Scalar>(logits[k], deltas[k], first);
      first += request.levels[k].size;
    }
    return request;
  }

 private:
  void check_level(const Tensor& scores, const Tensor& boxes) const {
    STD_TORCH_CHECK(
        scores.dim() == 4 && boxes.dim() == 4 && boxes.size(1) == 4 * scores.size(1) &&
            scores.size(0) == images() && boxes.size(0) == images() &&
            boxes.size(2) == scores.size(2) && boxes.size(3) == scores.size(3),
        "select_anchors: logits must be (B, A, H, W) and deltas (B, 4 A, H, W)");
    STD_TORCH_CHECK(
        scores.scalar_type() == logits[0].scalar_type() &&
            boxes.scalar_type() == logits[0].scalar_type() &&
            scores.device() == logits[0].device() && boxes.device() == logits[0].device(),
        "select_anchors: logits and deltas differ in dtype or device");
  }

  template <typename Scalar>
  static Maps<Scalar> make_maps(const Tensor& scores, const Tensor& boxes, uint32_t first) {
    const int64_t size = level_size(scores);
    Maps<Scalar> maps{};
    maps.logits = read<Scalar>(scores);
    maps.deltas = read<Scalar>(boxes);
    for (int i = 0; i < 4; ++i) {
      maps.logit_strides[i] = scores.stride(i);
      maps.delta_strides[i] = boxes.stride(i);
    }
    maps.size = static_cast<uint32_t>(size);
    maps.first = first;
    maps.per_cell = Divider(scores.size(1), size);
    maps.columns = Divider(scores.size(3), size);
    return maps;
  }
};

struct Outputs {
  Tensor boxes, scores, counts;

  explicit Outputs(const Arguments& asked)
      : boxes(make(asked, {asked.images(), asked.levels(), asked.rows(), 4}, ScalarType::Float)),
        scores(make(asked, {asked.images(), asked.levels(), asked.rows()}, ScalarType::Float)),
        counts(make(asked, {asked.images(), asked.levels()}, ScalarType::Long)) {}

  Result result() { return {write<float>(boxes), write<float>(scores), write<int64_t>(counts)}; }

 private:
  static Tensor make(
      const Arguments& asked, std::initializer_list<int64_t> sizes, ScalarType dtype) {
    return torch::stable::new_empty(asked.anchors, sizes, dtype);
  }
};

}  // namespace harness::select_anchors
