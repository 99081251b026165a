// A class is one thread's, so the result does not depend on threads. Only boxes with a score are looked
// at, so a class without candidates costs one pass over its scores.
#include "../common/columns.h"
#include "../common/groups.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <string>
#include <vector>

namespace harness::soft_nms {
namespace {

constexpr int64_t kFewBoxes = 512;  // waking threads costs more than these do

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

  // Decays all scores for the box that is taken; returns how many are left.
  template <typename Decay>
  int64_t lower(const Box<T>& taken, T taken_area, Decay decay) {
    T* values = scores.data();
    const T *left = boxes.x1.data(), *top = boxes.y1.data();
    const T *right = boxes.x2.data(), *bottom = boxes.y2.data(), *areas = boxes.areas.data();
    const int64_t size = boxes.size();
    const auto iou_with = [&](int64_t i) {
      return iou<T>(taken, taken_area, {left[i], top[i], right[i], bottom[i]}, areas[i]);
    };
    if constexpr (Decay::kGaussian) {  // a loop that calls exp does not vectorise
      ious.resize(size);
      T* overlaps = ious.data();
      for (int64_t i = 0; i < size; ++i) overlaps[i] = iou_with(i);
      for (int64_t i = 0; i < size; ++i) values[i] = decay(values[i], overlaps[i]);
    } else {
      for (int64_t i = 0; i < size; ++i) values[i] = decay(values[i], iou_with(i));
    }
    return std::count_if(values, values + size, [](T score) { return score > T(0); });
  }

  // Writes each box's final score; dropped boxes keep the zero that is there.
  template <typename Decay, typename Scalar>
  void run(const Decay& decay, Scalar* result) {
    int64_t alive = boxes.size();
    while (alive > 0) {
      const int64_t taken = best();
      result[boxes.source[taken]] = static_cast<Scalar>(scores[taken]);
      const Box<T> box = boxes.box(taken);
      const T box_area = boxes.areas[taken];
      scores[taken] = T(0);
      alive = lower(box, box_area, decay);
      if (alive < boxes.size() - boxes.size() / 8) compact();
    }
  }
};

template <typename T, typename Scalar, bool Gaussian>
struct Walk {
  Classes<T, Scalar> classes;
  Decay<T, Gaussian> decay;
  Scalar* output;
  Group<T> group = {};

  void operator()(int64_t index) {
    const Class<T, Scalar> own = classes[index];
    group.clear();
    for (int64_t i = 0; i < own.count; ++i) {
      const T score = own.score(i);
      if (!(score > T(0))) continue;
      group.boxes.push(own.box(i), i);
      group.scores.push_back(score);
    }
    Scalar* result = output + index * own.size;
    std::fill(result, result + own.size, static_cast<Scalar>(T(0)));
    group.run(decay, result);
  }
};

template <typename Scalar, bool Gaussian>
void soft_nms(
    const Tensor& boxes, const Tensor& scores, const std::optional<Tensor>& counts,
    const Rule& rule, Tensor& output) {
  using T = accumulate_t<Scalar>;
  const auto classes = read_classes<T, Scalar>(boxes, scores, counts, rule);
  const Walk<T, Scalar, Gaussian> walk{classes, Decay<T, Gaussian>(rule), write<Scalar>(output)};
  const Scalar* values = read<Scalar>(scores);
  const int64_t alive = std::count_if(values, values + scores.numel(), [&](Scalar score) {
    return static_cast<T>(score) > classes.score_threshold;
  });
  for_each_group(scores.size(0) * scores.size(1), alive > kFewBoxes, [&] { return walk; });
}

Tensor soft_nms_padded_cpu(
    const Tensor& boxes, const Tensor& scores, std::optional<Tensor> counts,
    double score_threshold, double iou_threshold, double min_score, std::string method,
    double sigma) {
  const Rule rule = make_rule(score_threshold, iou_threshold, min_score, method, sigma);
  check(boxes, scores, counts);
  const Tensor values = torch::stable::contiguous(scores);
  Tensor output = make_output(values);
  dispatch_floating(boxes.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    const auto run = rule.gaussian ? soft_nms<Scalar, true> : soft_nms<Scalar, false>;
    run(boxes, values, in_order(counts), rule, output);
  });
  return output;
}

}  // namespace
}  // namespace harness::soft_nms

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("soft_nms_padded", TORCH_BOX(&harness::soft_nms::soft_nms_padded_cpu));
}
