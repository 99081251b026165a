// What the kernels of select_boxes read and write, on every device.
#pragma once

#include "../common/boxes.h"
#include "../common/divider.h"
#include "../common/ranking.h"

#include <cstdint>

namespace harness::select_boxes {

// Arguments of the kernels, by value. A candidate is counted group by group.
template <typename Scalar>
struct Request {
  const Scalar *boxes, *scores;
  int64_t box_strides[4], score_strides[3];  // image, group, box, corner
  const int64_t *kept, *counts;  // both null: every box of a group is a candidate
  int64_t groups;
  uint32_t group_size;  // candidates of a group
  float score_threshold;  // which candidates exceed
  uint32_t limit;
  Divider groups_of;

  HARNESS_HOST_DEVICE uint32_t size() const {
    return static_cast<uint32_t>(groups) * group_size;
  }

  struct Place {
    int64_t group, box;
  };
  HARNESS_HOST_DEVICE Place place(int64_t image, uint32_t candidate) const {
    const uint32_t group = groups_of(candidate), position = candidate - group * group_size;
    if (!kept) return {group, position};
    return {group, kept[(image * groups + group) * group_size + position]};
  }

  // 0 for what is not a candidate.
  HARNESS_HOST_DEVICE uint32_t key(int64_t image, uint32_t candidate) const {
    if (kept) {
      const uint32_t group = groups_of(candidate);
      if (candidate - group * group_size >= counts[image * groups + group]) return 0;
    }
    const Place at = place(image, candidate);
    const float score = static_cast<float>(
        scores[image * score_strides[0] + at.group * score_strides[1] + at.box * score_strides[2]]);
    return score > score_threshold ? ranking_key(score) : 0;
  }
};

template <typename Scalar>
struct Result {
  Scalar *boxes, *scores;
  int64_t *groups, *counts;
};

// Row k of an image.
template <typename Scalar>
HARNESS_HOST_DEVICE void write_row(
    const Request<Scalar>& asked, const Result<Scalar>& result, int64_t image, uint32_t k,
    uint32_t candidate, float score) {
  const auto at = asked.place(image, candidate);
  const int64_t* step = asked.box_strides;
  const Scalar* box = asked.boxes + image * step[0] + at.group * step[1] + at.box * step[2];
  const int64_t row = image * asked.limit + k;
  for (int corner = 0; corner < 4; ++corner) {
    result.boxes[4 * row + corner] = box[corner * step[3]];
  }
  result.scores[row] = static_cast<Scalar>(score);
  result.groups[row] = at.group;
}

template <typename Scalar>
HARNESS_HOST_DEVICE void write_padding(
    const Request<Scalar>& asked, const Result<Scalar>& result, int64_t image, uint32_t k) {
  const int64_t row = image * asked.limit + k;
  for (int corner = 0; corner < 4; ++corner) {
    result.boxes[4 * row + corner] = static_cast<Scalar>(0.0f);
  }
  result.scores[row] = static_cast<Scalar>(0.0f);
  result.groups[row] = 0;
}

}  // namespace harness::select_boxes
