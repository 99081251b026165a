// Each box is compared with the kept boxes before it: what is suppressed costs nothing afterwards,
// and the walk ends with the last box that is asked for. A group is one thread's, so the result does
// not depend on threads.
#include "../common/box_list.h"
#include "../common/groups.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>

namespace harness::nms {
namespace {

constexpr int64_t kFewBoxes = 256;  // waking threads costs more than these do

template <typename T, typename Scalar>
struct Walk {
  Corners<Scalar> corners;
  Present present;
  int64_t max_output;
  T threshold;
  int64_t *indices, *counts;
  BoxList<T> kept = {};

  void operator()(int64_t group) {
    int64_t* result = indices + group * max_output;
    kept.clear();
    for (int64_t i = 0; i < present.size && kept.size() < max_output; ++i) {
      if (!present(group, i)) continue;
      const auto box = corners.template load<T>(group, i);
      const auto suppresses = [&](const Overlap<T>& overlap) { return overlap.exceeds(threshold); };
      if (kept.find_overlap(box, threshold, 0, suppresses)) continue;
      result[kept.size()] = i;
      kept.push(box);
    }
    counts[group] = kept.size();
    std::fill(result + kept.size(), result + max_output, 0);
  }
};

std::tuple<Tensor, Tensor> nms_padded_cpu(
    const Tensor& boxes, const Tensor& valid, double iou_threshold, int64_t max_output) {
  check(boxes, valid, max_output);
  const Tensor flags = torch::stable::contiguous(valid);
  auto [indices, counts] = make_results(boxes, max_output);
  int64_t *kept = write<int64_t>(indices), *totals = write<int64_t>(counts);
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const Walk<T, Scalar> walk{
        read_corners<Scalar>(boxes), read_present(flags, boxes.size(1)), max_output,
        static_cast<T>(iou_threshold), kept, totals};
    const bool in_parallel = boxes.size(0) * boxes.size(1) > kFewBoxes;
    for_each_group(boxes.size(0), in_parallel, [&] { return walk; });
  });
  return {indices, counts};
}

}  // namespace
}  // namespace harness::nms

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("nms_padded", TORCH_BOX(&harness::nms::nms_padded_cpu));
}
