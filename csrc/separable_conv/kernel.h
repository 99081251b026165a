// The body of the CUDA kernel: a block works on one tile. Its threads first share the channels of the
// depthwise convolution, then those of the pointwise one; both read and write neighbouring channels
// side by side. Between them the tile is in shared memory, channel by channel, in quads of cells
// that a thread writes and reads at once.
#pragma once

#include "../common/team.h"
#include "separable_conv.h"

#include <cmath>

namespace harness::separable {

constexpr int kSmallTile = 4;  // of a job that would not keep all multiprocessors busy otherwise
constexpr int kQuad = 4;

template <typename T>
struct alignas(16) Quad {
  T values[kQuad];
};

// Quads per channel: one more than needed where the threads of a warp would otherwise conflict in one
// bank of the shared memory.
template <int kCells>
constexpr int kPitch = kCells == kQuad ? 1 : kCells / kQuad + 1;

template <int kCells, typename T>
HARNESS_HOST_DEVICE int64_t shared_bytes(int64_t channels) {
  return channels * kPitch<kCells> * static_cast<int64_t>(sizeof(Quad<T>));
}

// The 3x3 neighbourhood of a cell of one channel, column by column, moved along the rows: each next
// cell needs only one more column. Outside the map there are zeros.
template <typename Scalar, typename T>
struct Window {
  const Scalar* data;  // of the channel
  uint32_t row_stride, column_stride, height, width;
  uint32_t y, x;
  T columns[3][3];

  HARNESS_DEVICE Window(const Map<Scalar, T>& map, const Scalar* data, uint32_t cell)
      : data(data),
        row_stride(static_cast<uint32_t>(map.row_stride)),
        column_stride(static_cast<uint32_t>(map.column_stride)),
        height(static_cast<uint32_t>(map.height)),
        width(static_cast<uint32_t>(map.width)),
        y(cell / width),
        x(cell % width) {
    start();
  }

  // Unsigned: what is before the first is far beyond the last.
  HARNESS_DEVICE void load(uint32_t column, T (&into)[3]) const {
    HARNESS_UNROLL
    for (uint32_t i = 0; i < 3; ++i) {
      const uint32_t row = y + i - 1;
      const bool inside = column < width && row < height;
      into[i] = inside ? static_cast<T>(data[row * row_stride + column * column_stride]) : T(0);
    }
  }

  HARNESS_DEVICE void start() {
    load(x - 1, columns[0]);
    load(x, columns[1]);
    load(x + 1, columns[2]);
  }

  HARNESS_DEVICE void advance() {
    if (++x == width) {  // for all threads of the block alike
      x = 0;
      ++y;
      start();
      return;
    }
    HARNESS_UNROLL
    for (int i = 0; i < 3; ++i) {
      columns[0][i] = columns[1][i];
      columns[1][i] = columns[2][i];
    }
    load(x + 1, columns[2]);
  }

  // Fused multiply-adds are explicit: nvcc is told not to make any by itself.
  HARNESS_DEVICE T convolve(const T (&weights)[kTaps], T bias) const {
    T sum = bias;
    HARNESS_UNROLL
    for (int tap = 0; tap < kTaps; ++tap) {
      sum = std::fma(weights[tap], columns[tap % 3][tap / 3], sum);
    }
    return sum;
  }
};

template <int kCells, typename Scalar, typename T>
HARNESS_DEVICE void convolve_depthwise(
    const Map<Scalar, T>& map, const Tile& tile, uint32_t channels, uint32_t c, Quad<T>* middle) {
  T weights[kTaps];
  HARNESS_UNROLL
  for (int tap = 0; tap < kTaps; ++tap) weights[tap] = map.depthwise[tap * channels + c];
  const T bias = map.depthwise_bias[c];
  Window<Scalar, T> window(
      map, map.data + tile.image * map.image_stride + c, static_cast<uint32_t>(tile.first));
  HARNESS_UNROLL
  for (int q = 0; q < kCells / kQuad; ++q) {
    Quad<T> quad;
    HARNESS_UNROLL
    for (int p = 0; p < kQuad; ++p) {  // beyond the last cell every row is outside, or unread
      quad.values[p] = window.convolve(weights, bias);
      if (q * kQuad + p + 1 < kCells) window.advance();
    }
    middle[c * kPitch<kCells> + q] = quad;
  }
}

// Output channel `o` of all cells.
template <int kCells, typename Scalar, typename T>
HARNESS_DEVICE void convolve_pointwise(
    const Map<Scalar, T>& map, uint32_t channels, uint32_t o, const Quad<T>* middle,
    T (&sums)[kCells]) {
  const auto width = static_cast<uint32_t>(map.block_width);
  const auto last = static_cast<uint32_t>(map.blocks) - 1;
  const uint32_t block = o / width < last ? o / width : last;
  const auto start = static_cast<uint32_t>(map.block_start(block, channels));
  const T* weights = map.pointwise + block * width * width + (o - start);
  const Quad<T>* cells = middle + start * kPitch<kCells>;
  HARNESS_UNROLL
  for (int p = 0; p < kCells; ++p) sums[p] = map.pointwise_bias[o];
  HARNESS_UNROLL_BY(8)  // this many loads of weights are in flight at once
  for (uint32_t i = 0; i < width; ++i) {
    const T weight = weights[i * width];
    HARNESS_UNROLL
    for (int q = 0; q < kCells / kQuad; ++q) {
      const Quad<T> quad = cells[i * kPitch<kCells> + q];
      HARNESS_UNROLL
      for (int p = 0; p < kQuad; ++p) {
        sums[q * kQuad + p] = std::fma(weight, quad.values[p], sums[q * kQuad + p]);
      }
    }
  }
}

// `middle` is shared_bytes<kCells, T>(channels) of shared memory.
template <int kCells, typename Scalar, typename T, typename Block>
HARNESS_DEVICE void convolve_tile(
    const Block& block, const Job<Scalar, T>& job, int64_t number, Quad<T>* middle,
    Scalar* output) {
  const Tile tile = find_tile<kCells>(job, number);
  const Map<Scalar, T>& map = job.maps[tile.map];
  const auto channels = static_cast<uint32_t>(job.channels);
  const auto out_channels = static_cast<uint32_t>(job.out_channels);
  for (uint32_t c = block.rank(); c < channels; c += block.size()) {
    convolve_depthwise<kCells>(map, tile, channels, c, middle);
  }
  block.sync();
  Scalar* rows =
      output + (tile.image * job.cells + map.first_cell + tile.first) * job.out_channels;
  for (uint32_t o = block.rank(); o < out_channels; o += block.size()) {
    T sums[kCells] = {};
    if (o < channels) convolve_pointwise<kCells>(map, channels, o, middle, sums);
    HARNESS_UNROLL
    for (int p = 0; p < kCells; ++p) {  // a bound that is known keeps the sums in registers
      if (p < tile.size) {
        const T value = job.relu && sums[p] < T(0) ? T(0) : sums[p];  // NaN stays NaN
        rows[p * out_channels + o] = static_cast<Scalar>(value);
      }
    }
  }
}

}  // namespace harness::separable
