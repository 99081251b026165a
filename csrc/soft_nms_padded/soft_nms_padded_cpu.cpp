// Scores only fall, so the score that a box has had bounds the one that it has: only the box with the
// greatest bound is brought up to date with the boxes taken since. If it does not fall then, it is
// the best there is. The multiplications are those of the definition, in its order.
//
// A group is one thread's, so the result does not depend on threads. A class without candidates
// costs one pass over its scores.
#include "../common/box_list.h"
#include "../common/groups.h"
#include "arguments.h"
#include "bounds.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <string>
#include <vector>

namespace harness::soft_nms {
namespace {

constexpr int64_t kFewBoxes = 256;  // waking threads costs more than these do

template <typename T, typename Scalar, bool Gaussian>
struct Walk {
  Corners<Scalar> corners;
  const Scalar* scores;
  int64_t size;
  Decay<T, Gaussian> decay;
  Scalar* output;
  std::vector<int64_t> sources = {};  // of the candidates: positions in the group
  std::vector<int64_t> seen = {};     // how many of the taken boxes a candidate's bound allows for
  Bounds<T> bounds = {};
  BoxList<T> taken = {};

  void operator()(int64_t group) {
    sources.clear();
    for (int64_t i = group * size; i < (group + 1) * size; ++i)
      if (static_cast<T>(scores[i]) > T(0)) sources.push_back(i - group * size);
    const auto count = static_cast<int64_t>(sources.size());
    seen.assign(count, 0);
    taken.clear();
    bounds.assign(
        count, [&](int64_t i) { return static_cast<T>(scores[group * size + sources[i]]); });
    for (int64_t i; (i = bounds.find_greatest()) >= 0;) visit(group, i);
  }

  void visit(int64_t group, int64_t i) {
    const auto box = corners.template load<T>(group, sources[i]);
    T score = bounds[i];
    const auto lower = [&](const Overlap<T>& overlap) {
      score = decay(score, overlap.iou());
      return !(score > T(0));
    };
    const bool dropped = taken.find_overlap(box, decay.iou_threshold, seen[i], lower);
    seen[i] = taken.size();
    if (!dropped && score < bounds[i]) return bounds.lower(i, score);
    bounds.lower(i, T(0));
    if (dropped) return;
    output[group * size + sources[i]] = static_cast<Scalar>(score);
    taken.push(box);
  }
};

template <typename Scalar, bool Gaussian>
void soft_nms(const Tensor& boxes, const Tensor& scores, const Rule& rule, Tensor& output) {
  using T = accumulate_t<Scalar>;
  const Scalar* values = read<Scalar>(scores);
  const int64_t groups = boxes.size(0), size = boxes.size(1);
  const Walk<T, Scalar, Gaussian> walk{
      read_corners<Scalar>(boxes), values, size, Decay<T, Gaussian>(rule), write<Scalar>(output)};
  const int64_t alive = std::count_if(
      values, values + groups * size, [](Scalar score) { return static_cast<T>(score) > T(0); });
  for_each_group(groups, alive > kFewBoxes, [&] { return walk; });
}

Tensor soft_nms_padded_cpu(
    const Tensor& boxes, const Tensor& scores, double iou_threshold, double min_score,
    std::string method, double sigma) {
  const Rule rule = make_rule(boxes, scores, iou_threshold, min_score, method, sigma);
  const Tensor values = torch::stable::contiguous(scores);
  Tensor output = torch::stable::new_zeros(values, values.sizes());
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto run = rule.gaussian ? soft_nms<Scalar, true> : soft_nms<Scalar, false>;
    run(boxes, values, rule, output);
  });
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cpu));
}
