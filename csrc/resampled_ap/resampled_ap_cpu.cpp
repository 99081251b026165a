// AP of one class under many weightings of the images. Sixteen resamples go side by side, so that
// each detection's weights are one line of the cache. The detections of a class are walked once for
// all IoU thresholds; of those that may match, each threshold walks what it counts otherwise.
#include "../common/tensors.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <vector>

// The widest registers that the processor has, chosen when the library is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HARNESS_WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define HARNESS_WIDEST
#endif

namespace harness::resampled_ap {
namespace {

constexpr int kLanes = 16;
constexpr double kEps = 2.220446049250313e-16;  // pycocotools adds it to the denominator
constexpr int kRecallPoints = 101;

// A true positive, or a detection that counts though it is not in the base (+1) or does not though
// it is (-1).
struct Event {
  int64_t place;  // among the detections that may match
  int64_t image;
  int32_t change;
  bool hit;
};
using Events = std::vector<Event>;  // best score first

struct Block {
  const int32_t* weights;   // (images, kLanes)
  const int8_t* points[kLanes];  // recall points reached with 0, 1, 2 ... true positives
};

// Weight of the base up to each detection that may match: (m, kLanes).
HARNESS_WIDEST void count_base(
    const int32_t* weights, const int64_t* base, const int64_t* below, int64_t count,
    int32_t* counted) {
  int32_t sums[kLanes] = {};
  int64_t at = 0;
  for (int64_t j = 0; j < count; ++j) {
    for (; at < below[j]; ++at) {
      const int32_t* own = weights + base[at] * kLanes;
      for (int k = 0; k < kLanes; ++k) sums[k] += own[k];
    }
    for (int k = 0; k < kLanes; ++k) counted[j * kLanes + k] = sums[k];
  }
}

// From the last true positive to the first, so that the envelope of precision needs no memory.
HARNESS_WIDEST void measure(
    const Block& block, const Events& events, const int32_t* counted, double* result) {
  int32_t found[kLanes] = {}, changed[kLanes] = {}, reached[kLanes];
  for (const Event& event : events) {
    const int32_t* own = block.weights + event.image * kLanes;
    const int32_t hit = event.hit;
    for (int k = 0; k < kLanes; ++k) found[k] += hit * own[k];
    for (int k = 0; k < kLanes; ++k) changed[k] += event.change * own[k];
  }
  for (int k = 0; k < kLanes; ++k) reached[k] = found[k] ? block.points[k][found[k]] : 0;
  double envelope[kLanes] = {}, sums[kLanes] = {};
  for (auto event = events.rbegin(); event != events.rend(); ++event) {
    const int32_t* own = block.weights + event->image * kLanes;
    if (event->hit) {
      const int32_t* before = counted + event->place * kLanes;
      for (int k = 0; k < kLanes; ++k) {
        const double precision = found[k] / (before[k] + changed[k] + kEps);
        envelope[k] = envelope[k] < precision ? precision : envelope[k];
      }
      int32_t steps[kLanes];
      for (int k = 0; k < kLanes; ++k) {
        found[k] -= own[k];
        // the point at recall 0 belongs to the first true positive
        const int32_t fewer = found[k] ? block.points[k][found[k]] : 0;
        steps[k] = reached[k] - fewer;
        reached[k] = fewer;
      }
      for (int k = 0; k < kLanes; ++k) sums[k] += envelope[k] * steps[k];
    }
    if (event->change)
      for (int k = 0; k < kLanes; ++k) changed[k] -= event->change * own[k];
  }
  for (int k = 0; k < kLanes; ++k) result[k] = sums[k] / kRecallPoints;
}

std::vector<Events> find_events(const Tensor& image, const Tensor& hit, const Tensor& change) {
  std::vector<Events> events(hit.size(0));
  const int64_t count = image.size(0);
  for (int64_t t = 0; t < hit.size(0); ++t) {
    const bool* hits = read<bool>(hit) + t * count;
    const int8_t* changes = read<int8_t>(change) + t * count;
    for (int64_t j = 0; j < count; ++j)
      if (hits[j] || changes[j])
        events[t].push_back({j, read<int64_t>(image)[j], changes[j], hits[j]});
  }
  return events;
}

void check(const Tensor& tensor, ScalarType dtype, int64_t dimensions, const char* name) {
  STD_TORCH_CHECK(
      tensor.scalar_type() == dtype && tensor.dim() == dimensions && tensor.is_contiguous(),
      "resampled_ap: ", name, " has another dtype or shape, or is not contiguous");
}

// Places in what has `size` entries, so that nothing outside of it is read.
void check_range(const Tensor& tensor, int64_t size, const char* name) {
  const int64_t* values = read<int64_t>(tensor);
  for (int64_t i = 0; i < tensor.size(0); ++i)
    STD_TORCH_CHECK(
        values[i] >= 0 && values[i] < size, "resampled_ap: ", name, " is out of range");
}

Tensor resampled_ap_cpu(
    const Tensor& weights, const Tensor& points, const Tensor& row, const Tensor& base,
    const Tensor& image, const Tensor& below, const Tensor& hit, const Tensor& change) {
  check(weights, ScalarType::Int, 3, "weights");
  check(points, ScalarType::Char, 1, "points");
  check(row, ScalarType::Long, 1, "row");
  check(base, ScalarType::Long, 1, "base");
  check(image, ScalarType::Long, 1, "image");
  check(below, ScalarType::Long, 1, "below");
  check(hit, ScalarType::Bool, 2, "hit");
  check(change, ScalarType::Char, 2, "change");
  const int64_t blocks = weights.size(0), count = image.size(0), thresholds = hit.size(0);
  STD_TORCH_CHECK(
      weights.size(2) == kLanes && row.size(0) == blocks * kLanes && below.size(0) == count &&
          hit.size(1) == count && change.size(0) == thresholds && change.size(1) == count,
      "resampled_ap: sizes do not fit");
  check_range(base, weights.size(1), "base");
  check_range(image, weights.size(1), "image");
  check_range(below, base.size(0) + 1, "below");
  check_range(row, points.size(0), "row");
  Tensor result =
      torch::stable::new_empty(weights, {thresholds, blocks * kLanes}, ScalarType::Double);
  double* values = write<double>(result);
  const std::vector<Events> events = find_events(image, hit, change);
  torch::stable::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> counted(count * kLanes);
    for (int64_t n = begin; n < end; ++n) {
      Block block{read<int32_t>(weights) + n * weights.size(1) * kLanes, {}};
      for (int k = 0; k < kLanes; ++k)
        block.points[k] = read<int8_t>(points) + read<int64_t>(row)[n * kLanes + k];
      count_base(
          block.weights, read<int64_t>(base), read<int64_t>(below), count, counted.data());
      for (int64_t t = 0; t < thresholds; ++t)
        measure(block, events[t], counted.data(), values + (t * blocks + n) * kLanes);
    }
  });
  return result;
}

}  // namespace
}  // namespace harness::resampled_ap

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("resampled_ap", TORCH_BOX(&harness::resampled_ap::resampled_ap_cpu));
}
