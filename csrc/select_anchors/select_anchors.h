// What the kernels of select_anchors read and compute, on every device.
#pragma once

#include "../common/boxes.h"
#include "../common/divider.h"
#include "../common/ranking.h"

#include <cmath>
#include <cstdint>

namespace harness::select_anchors {

constexpr int kLevels = 8;

// One level of a pyramid in whatever memory format it has: batch, channel, row, column.
template <typename Scalar>
struct Maps {
  const Scalar *logits, *deltas;
  int64_t logit_strides[4], delta_strides[4];
  uint32_t size, first;  // anchors of the level, and of the levels before it
  Divider per_cell, columns;

  // Anchors are counted cell by cell, row by row.
  struct Place {
    int64_t row, column, anchor;
  };
  HARNESS_HOST_DEVICE Place place(uint32_t i) const {
    const uint32_t cell = per_cell(i), row = columns(cell);
    return {row, cell - row * columns.divisor, i - cell * per_cell.divisor};
  }

  HARNESS_HOST_DEVICE float logit(int64_t image, uint32_t i) const {
    const Place at = place(i);
    return static_cast<float>(
        logits[image * logit_strides[0] + at.anchor * logit_strides[1] +
               at.row * logit_strides[2] + at.column * logit_strides[3]]);
  }

  HARNESS_HOST_DEVICE void read_deltas(int64_t image, uint32_t i, float* four) const {
    const Place at = place(i);
    const Scalar* first_delta = deltas + image * delta_strides[0] +
        4 * at.anchor * delta_strides[1] + at.row * delta_strides[2] + at.column * delta_strides[3];
    for (int k = 0; k < 4; ++k) four[k] = static_cast<float>(first_delta[k * delta_strides[1]]);
  }
};

// NaN stays NaN.
HARNESS_HOST_DEVICE float clamp(float value, float low, float high) {
  return value < low ? low : value > high ? high : value;
}

// The coding of R-CNN (arXiv 1506.01497, section 3.1.2), and the image that boxes are clipped to.
struct Coding {
  float max_log_ratio;  // of a side to the anchor's; bounds its absolute value
  float height, width;
  float inside;  // pixels of a box outside that stay in the image

  HARNESS_HOST_DEVICE void decode_axis(
      float low, float high, float shift, float log, float extent, float& first,
      float& last) const {
    const float side = high - low, centre = (low + high) * 0.5f + side * shift;
    const float half = side * std::exp(clamp(log, -max_log_ratio, max_log_ratio)) * 0.5f;
    first = clamp(centre - half, 0.0f, extent - inside);
    last = clamp(centre + half, inside, extent);
  }

  HARNESS_HOST_DEVICE Box<float> decode(const Box<float>& anchor, const float* deltas) const {
    Box<float> box;
    decode_axis(anchor.x1, anchor.x2, deltas[0], deltas[2], width, box.x1, box.x2);
    decode_axis(anchor.y1, anchor.y2, deltas[1], deltas[3], height, box.y1, box.y2);
    return box;
  }
};

HARNESS_HOST_DEVICE float sigmoid(float logit) { return 1.0f / (1.0f + std::exp(-logit)); }

// Arguments of the kernels, by value.
template <typename Scalar>
struct Request {
  Maps<Scalar> levels[kLevels];
  int64_t count;  // of levels
  Corners<float> anchors;
  Coding coding;
  uint32_t limit, width;  // anchors to select per level, and rows per level in the result
};

struct Result {
  float *boxes, *scores;
  int64_t* counts;
};

// Row k of a level of an image: the anchor with the k-th best logit.
template <typename Scalar>
HARNESS_HOST_DEVICE void write_row(
    const Request<Scalar>& asked, const Result& result, int64_t image, int64_t level, uint32_t k,
    uint32_t anchor, float logit) {
  const Maps<Scalar>& maps = asked.levels[level];
  float deltas[4];
  maps.read_deltas(image, anchor, deltas);
  const auto box = asked.coding.decode(
      asked.anchors.template load<float>(0, maps.first + int64_t(anchor)), deltas);
  const int64_t row = (image * asked.count + level) * asked.width + k;
  result.scores[row] = sigmoid(logit);
  float* corners = result.boxes + 4 * row;
  corners[0] = box.x1;
  corners[1] = box.y1;
  corners[2] = box.x2;
  corners[3] = box.y2;
}

template <typename Scalar>
HARNESS_HOST_DEVICE void write_padding(
    const Request<Scalar>& asked, const Result& result, int64_t image, int64_t level, uint32_t k) {
  const int64_t row = (image * asked.count + level) * asked.width + k;
  result.scores[row] = 0.0f;
  for (int corner = 0; corner < 4; ++corner) result.boxes[4 * row + corner] = 0.0f;
}

}  // namespace harness::select_anchors
