// Checks the arguments of the op and allocates its results, the same way on every device.
#pragma once

#include "../common/tensors.h"
#include "select_boxes.h"

#include <limits>
#include <optional>
#include <tuple>

namespace harness::select_boxes {

// Calls f(Type<T>{}): keys have 32 bits, which tell no more scores apart.
template <typename F>
void dispatch_scores(ScalarType dtype, const F& f) {
  STD_TORCH_CHECK(
      dtype != ScalarType::Double, "select_boxes: expected float32, float16 or bfloat16");
  dispatch_floating(dtype, [&](auto type) {
    if constexpr (!std::is_same_v<typename decltype(type)::type, double>) f(type);
  });
}

// Positions and counts, where given, in order.
struct Arguments {
  const Tensor &boxes, &scores;
  std::optional<Tensor> kept, counts;
  int64_t limit;
  double score_threshold;

  Arguments(
      const Tensor& boxes, const Tensor& scores, const std::optional<Tensor>& kept,
      const std::optional<Tensor>& counts, int64_t limit, double score_threshold)
      : boxes(boxes), scores(scores), limit(limit), score_threshold(score_threshold) {
    STD_TORCH_CHECK(
        scores.dim() == 3 && boxes.dim() == 4 && boxes.size(3) == 4 &&
            boxes.size(0) == scores.size(0) && boxes.size(1) == scores.size(1) &&
            boxes.size(2) == scores.size(2),
        "select_boxes: boxes must be (B, G, N, 4) and scores (B, G, N)");
    STD_TORCH_CHECK(
        boxes.scalar_type() == scores.scalar_type() && boxes.device() == scores.device(),
        "select_boxes: boxes and scores differ in dtype or device");
    STD_TORCH_CHECK(limit >= 0, "select_boxes: limit is negative");
    STD_TORCH_CHECK(
        kept.has_value() == counts.has_value(), "select_boxes: kept and counts go together");
    if (!kept) return;
    STD_TORCH_CHECK(
        kept->dim() == 3 && is_of_groups(*kept) && counts->dim() == 2 && is_of_groups(*counts),
        "select_boxes: kept must be (B, G, M) and counts (B, G), int64");
    this->kept = torch::stable::contiguous(*kept);
    this->counts = torch::stable::contiguous(*counts);
  }

  int64_t images() const { return scores.size(0); }
  int64_t candidates() const { return scores.size(1) * (kept ? kept->size(2) : scores.size(2)); }

  template <typename Scalar>
  Request<Scalar> make_request() const {
    STD_TORCH_CHECK(
        candidates() < std::numeric_limits<int32_t>::max(), "select_boxes: too many boxes");
    Request<Scalar> request{};
    request.boxes = read<Scalar>(boxes);
    request.scores = read<Scalar>(scores);
    for (int i = 0; i < 4; ++i) request.box_strides[i] = boxes.stride(i);
    for (int i = 0; i < 3; ++i) request.score_strides[i] = scores.stride(i);
    request.kept = kept ? read<int64_t>(*kept) : nullptr;
    request.counts = counts ? read<int64_t>(*counts) : nullptr;
    request.groups = scores.size(1);
    const int64_t size = kept ? kept->size(2) : scores.size(2);
    request.group_size = static_cast<uint32_t>(size);
    request.score_threshold = static_cast<float>(score_threshold);
    request.limit = static_cast<uint32_t>(limit);
    request.groups_of = Divider(size, candidates());
    return request;
  }

 private:
  bool is_of_groups(const Tensor& tensor) const {
    return tensor.scalar_type() == ScalarType::Long && tensor.device() == scores.device() &&
        tensor.size(0) == scores.size(0) && tensor.size(1) == scores.size(1);
  }
};

struct Outputs {
  Tensor boxes, scores, groups, counts;

  explicit Outputs(const Arguments& asked)
      : boxes(torch::stable::new_empty(asked.scores, {asked.images(), asked.limit, 4})),
        scores(torch::stable::new_empty(asked.scores, {asked.images(), asked.limit})),
        groups(torch::stable::new_empty(
            asked.scores, {asked.images(), asked.limit}, ScalarType::Long)),
        counts(torch::stable::new_empty(asked.scores, {asked.images()}, ScalarType::Long)) {}

  template <typename Scalar>
  Result<Scalar> result() {
    return {
        write<Scalar>(boxes), write<Scalar>(scores), write<int64_t>(groups),
        write<int64_t>(counts)};
  }
  std::tuple<Tensor, Tensor, Tensor, Tensor> all() const { return {boxes, scores, groups, counts}; }
};

}  // namespace harness::select_boxes
