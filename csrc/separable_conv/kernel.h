// The body of the CUDA kernel: a block works on one tile. Its threads first share the channels of the
// depthwise convolution, then those of the pointwise one; both read and write neighbouring channels
// side by side. Between them the tile lies in shared memory, channel by channel, so that a thread
// reads its cells as vectors that all threads of a group share.
#pragma once

#include "../common/team.h"
#include "separable_conv.h"

#include <cmath>

namespace harness::separable {

constexpr int kPitch = kTile + 4;  // fewer threads of a warp meet in one bank than with kTile

template <typename T>
HARNESS_HOST_DEVICE int64_t shared_bytes(int64_t channels) {
  return channels * kPitch * static_cast<int64_t>(sizeof(T));
}

// Fused multiply-adds are asked for by name: nvcc is told not to make any.
template <typename Scalar, typename T>
HARNESS_DEVICE T convolve_cell(
    const Map<Scalar, T>& map, const Scalar* data, const T (&weights)[kTaps], T bias, int64_t y,
    int64_t x) {
  T sum = bias;
  HARNESS_UNROLL
  for (int tap = 0; tap < kTaps; ++tap) {
    const int64_t row = y + tap / 3 - 1, column = x + tap % 3 - 1;
    const bool inside = row >= 0 && row < map.height && column >= 0 && column < map.width;
    if (inside) {
      const auto value = static_cast<T>(data[row * map.row_stride + column * map.column_stride]);
      sum = std::fma(weights[tap], value, sum);
    }
  }
  return sum;
}

// `middle` is shared_bytes(channels) of shared memory.
template <typename Scalar, typename T, typename Block>
HARNESS_DEVICE void convolve_tile(
    const Block& block, const Job<Scalar, T>& job, int64_t number, T* middle, Scalar* output) {
  const Tile tile = find_tile(job, number);
  const Map<Scalar, T>& map = job.maps[tile.map];
  const int64_t first_row = tile.first / map.width, first_column = tile.first % map.width;
  for (int64_t c = block.rank(); c < job.channels; c += block.size()) {
    T weights[kTaps];
    HARNESS_UNROLL
    for (int tap = 0; tap < kTaps; ++tap) weights[tap] = map.depthwise[tap * job.channels + c];
    const Scalar* data = map.data + tile.image * map.image_stride + c;
    int64_t y = first_row, x = first_column;
    for (int p = 0; p < kTile; ++p) {
      middle[c * kPitch + p] =
          p < tile.size ? convolve_cell(map, data, weights, map.depthwise_bias[c], y, x) : T(0);
      if (++x == map.width) {
        x = 0;
        ++y;
      }
    }
  }
  block.sync();
  Scalar* rows =
      output + (tile.image * job.cells + map.first_cell + tile.first) * job.out_channels;
  for (int64_t o = block.rank(); o < job.out_channels; o += block.size()) {
    T sums[kTile] = {};
    if (o < job.channels) {
      const int64_t wanted = o / map.block_width;
      const int64_t b = wanted < map.blocks ? wanted : map.blocks - 1;
      const int64_t start = map.block_start(b, job.channels);
      const T* weights = map.pointwise + b * map.block_width * map.block_width + (o - start);
      HARNESS_UNROLL
      for (int p = 0; p < kTile; ++p) sums[p] = map.pointwise_bias[o];
      for (int64_t i = 0; i < map.block_width; ++i) {
        const T weight = weights[i * map.block_width];
        const T* cells = middle + (start + i) * kPitch;
        HARNESS_UNROLL
        for (int p = 0; p < kTile; ++p) sums[p] = std::fma(weight, cells[p], sums[p]);
      }
    }
    HARNESS_UNROLL
    for (int p = 0; p < kTile; ++p) {  // a bound that is known keeps the sums in registers
      if (p < tile.size) {
        const T value = job.relu && sums[p] < T(0) ? T(0) : sums[p];  // NaN stays NaN
        rows[p * job.out_channels + o] = static_cast<Scalar>(value);
      }
    }
  }
}

}  // namespace harness::separable
