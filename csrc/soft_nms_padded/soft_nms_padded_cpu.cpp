// Groups are independent: one thread takes whole groups. Only boxes with a score are looked at, so
// a class without candidates costs one pass over its scores.
#include "../common/columns.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <string>
#include <vector>

namespace harness::soft_nms {
namespace {

template <typename T>
struct Group {
  Columns<T> boxes;
  std::vector<T> scores, ious;

  void clear() {
    boxes.clear();
    scores.clear();
  }

  // The first of equals. Maxima of interleaved lanes first, since those vectorise.
  int64_t best() const {
    constexpr int64_t kLanes = 8;
    const int64_t size = boxes.size(), whole = size - size % kLanes;
    T lanes[kLanes] = {};
    for (int64_t i = 0; i < whole; i += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k) lanes[k] = std::max(lanes[k], scores[i + k]);
    }
    T highest = *std::max_element(lanes, lanes + kLanes);
    for (int64_t i = whole; i < size; ++i) highest = std::max(highest, scores[i]);
    return std::find(scores.begin(), scores.begin() + size, highest) - scores.begin();
  }

  // Closes the gaps that dropped boxes leave; keeps the order, which decides between equals.
  void compact() {
    int64_t kept = 0;
    for (int64_t i = 0; i < boxes.size(); ++i) {
      if (!(scores[i] > T(0))) continue;
      if (kept != i) {
        boxes.move(i, kept);
        scores[kept] = scores[i];
      }
      ++kept;
    }
    boxes.source.resize(kept);
  }

  // Decays all scores by the IoUs; returns how many are left.
  template <typename Decay>
  int64_t lower(const Decay& decay) {
    T* values = scores.data();
    const T* overlaps = ious.data();
    const int64_t size = boxes.size();
    for (int64_t i = 0; i < size; ++i) values[i] = decay(values[i], overlaps[i]);
    return std::count_if(values, values + size, [](T score) { return score > T(0); });
  }

  // Writes each box's final score; dropped boxes keep the zero that is there.
  template <typename Decay, typename Scalar>
  void run(const Decay& decay, Scalar* result) {
    ious.resize(boxes.size());
    int64_t alive = boxes.size();
    while (alive > 0) {
      const int64_t taken = best();
      result[boxes.source[taken]] = static_cast<Scalar>(scores[taken]);
      const Box<T> box = boxes.box(taken);
      const T box_area = boxes.areas[taken];
      scores[taken] = T(0);
      boxes.ious(box, box_area, 0, ious.data());
      alive = lower(decay);
      if (alive < boxes.size() - boxes.size() / 8) compact();
    }
  }
};

template <typename Scalar, bool Gaussian>
void soft_nms(const Tensor& boxes, const Tensor& scores, const Rule& rule, Tensor& output) {
  using T = accumulate_t<Scalar>;
  const Scalar *corners = read<Scalar>(boxes), *values = read<Scalar>(scores);
  Scalar* result = write<Scalar>(output);
  const int64_t size = boxes.size(1);
  const Decay<T, Gaussian> decay(rule);

  // Waking threads costs more than a few boxes do.
  const int64_t groups = boxes.size(0);
  const int64_t alive = std::count_if(
      values, values + groups * size, [](Scalar score) { return static_cast<T>(score) > T(0); });
  const int64_t grain = alive < 512 ? std::max<int64_t>(groups, 1) : 1;

  torch::stable::parallel_for(0, groups, grain, [&](int64_t begin, int64_t end) {
    Group<T> group;
    for (int64_t g = begin; g < end; ++g) {
      group.clear();
      for (int64_t i = g * size; i < (g + 1) * size; ++i) {
        const T score = static_cast<T>(values[i]);
        if (!(score > T(0))) continue;
        group.boxes.push(load_box<T>(corners + i * 4), i - g * size);
        group.scores.push_back(score);
      }
      group.run(decay, result + g * size);
    }
  });
}

Tensor soft_nms_padded_cpu(
    const Tensor& boxes, const Tensor& scores, double iou_threshold, double min_score,
    std::string method, double sigma) {
  const Rule rule = make_rule(boxes, scores, iou_threshold, min_score, method, sigma);
  const Tensor corners = torch::stable::contiguous(boxes);
  const Tensor values = torch::stable::contiguous(scores);
  Tensor output = torch::stable::new_zeros(values, values.sizes());
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto run = rule.gaussian ? soft_nms<Scalar, true> : soft_nms<Scalar, false>;
    run(corners, values, rule, output);
  });
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cpu));
}
