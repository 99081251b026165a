// The arithmetic of OpenCV's INTER_LINEAR for bytes, and the body of the kernel: a thread makes
// pixels of one row of the result, all channels of each.
//
// Weights have 11 bits. They follow from a position that is computed in double and rounded to float,
// and that rounding shows in the result, so nothing here may be computed more precisely.
#pragma once

#include "../common/host_device.h"

#include <cmath>
#include <cstdint>

namespace harness::resize {

constexpr float kOne = 2048;

struct Strides {
  int64_t channel, row, column;
};

// One side of the image and of the result.
struct Axis {
  int64_t from, to;
  double scale;  // pixels of the image per pixel of the result

  Axis(int64_t from, int64_t to)
      : from(from), to(to), scale(1.0 / (static_cast<double>(to) / static_cast<double>(from))) {}

  HARNESS_HOST_DEVICE bool halves() const { return from == 2 * to; }
  HARNESS_HOST_DEVICE int64_t clamp(int64_t place) const {
    return place < 0 ? 0 : place < from ? place : from - 1;
  }
};

struct Job {
  const uint8_t* image;
  Strides image_strides;
  uint8_t* result;
  Strides result_strides;
  int64_t channels;
  Axis rows, columns;
};

// The two rows or columns around a pixel of the result, and their weights.
struct Taps {
  int64_t first, second;
  int32_t first_weight, second_weight;
};

HARNESS_HOST_DEVICE Taps make_taps(const Axis& axis, int64_t first, float fraction) {
  return {
      axis.clamp(first), axis.clamp(first + 1),
      static_cast<int32_t>(rintf((1.0f - fraction) * kOne)),
      static_cast<int32_t>(rintf(fraction * kOne))};
}

HARNESS_HOST_DEVICE float find_place(const Axis& axis, int64_t index) {
  return static_cast<float>((static_cast<double>(index) + 0.5) * axis.scale - 0.5);
}

HARNESS_HOST_DEVICE Taps find_columns(const Axis& axis, int64_t index) {
  const float place = find_place(axis, index), whole = floorf(place);
  const auto first = static_cast<int64_t>(whole);
  // beyond the centres of the outer pixels there is one column with the whole weight ...
  if (first < 0 || first >= axis.from - 1) return make_taps(axis, axis.clamp(first), 0);
  return make_taps(axis, first, place - whole);
}

HARNESS_HOST_DEVICE Taps find_rows(const Axis& axis, int64_t index) {
  const float place = find_place(axis, index), whole = floorf(place);
  // ... but the same row twice, each weighted and rounded down by itself
  return make_taps(axis, static_cast<int64_t>(whole), place - whole);
}

// Both sides are halved: the mean of four pixels, rounded once.
HARNESS_DEVICE void average(const Job& job, int64_t row, int64_t column) {
  const Strides& strides = job.image_strides;
  const uint8_t* corner = job.image + 2 * row * strides.row + 2 * column * strides.column;
  uint8_t* result =
      job.result + row * job.result_strides.row + column * job.result_strides.column;
  for (int64_t c = 0; c < job.channels; ++c) {
    const uint8_t* at = corner + c * strides.channel;
    const int sum =
        at[0] + at[strides.column] + at[strides.row] + at[strides.row + strides.column];
    result[c * job.result_strides.channel] = static_cast<uint8_t>((sum + 2) >> 2);
  }
}

HARNESS_DEVICE int32_t blend_columns(const uint8_t* row, const Strides& strides, const Taps& taps) {
  return row[taps.first * strides.column] * taps.first_weight +
         row[taps.second * strides.column] * taps.second_weight;
}

// What 16-bit lanes leave of a weighted row.
HARNESS_DEVICE int32_t weigh_row(int32_t row, int32_t weight) { return (weight * (row >> 4)) >> 16; }

HARNESS_DEVICE void interpolate(const Job& job, const Taps& rows, int64_t row, int64_t column) {
  const Strides& strides = job.image_strides;
  const Taps columns = find_columns(job.columns, column);
  uint8_t* result =
      job.result + row * job.result_strides.row + column * job.result_strides.column;
  for (int64_t c = 0; c < job.channels; ++c) {
    const uint8_t* plane = job.image + c * strides.channel;
    const int32_t above = blend_columns(plane + rows.first * strides.row, strides, columns);
    const int32_t below = blend_columns(plane + rows.second * strides.row, strides, columns);
    const int32_t sum =
        weigh_row(above, rows.first_weight) + weigh_row(below, rows.second_weight);
    result[c * job.result_strides.channel] = static_cast<uint8_t>((sum + 2) >> 2);
  }
}

// The pixels first, first + step, ... of a row of the result.
HARNESS_DEVICE void resize_row(const Job& job, int64_t row, int64_t first, int64_t step) {
  const bool halves = job.rows.halves() && job.columns.halves();
  const Taps rows = find_rows(job.rows, row);
  for (int64_t column = first; column < job.columns.to; column += step) {
    if (halves) average(job, row, column);
    else interpolate(job, rows, row, column);
  }
}

}  // namespace harness::resize
