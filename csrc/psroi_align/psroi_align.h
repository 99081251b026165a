// The arithmetic of position-sensitive RoI-align, shared by the CPU and the CUDA kernels.
//
// R-FCN (arXiv 1605.06409, section 2) gives each cell of the output its own input channel; TinyDet
// (arXiv 2304.03428) reads the cell bilinearly on a grid of points and keeps the maximum.
#pragma once

#include "../common/boxes.h"
#include "../common/host_device.h"

#include <cmath>
#include <cstdint>

namespace harness::psroi {

// Beyond this many map pixels float32 cannot place a point within the map to an eighth of a pixel,
// and an adaptive grid could not be counted in an int. Such RoIs pool to zero, as NaN does.
constexpr double kReach = 1048576.0;

struct Shape {
  int64_t batch, channels, height, width;           // features
  int64_t output_channels, pooled_height, pooled_width;
  int64_t sampling_ratio;                           // points per side; 0 or less: adaptive
  bool mean;
};

// The points of one cell along one axis. Points outside [first, last) lie outside the map.
template <typename T>
struct Axis {
  T cell_start = T(0), bin = T(0);
  int64_t grid = 0, first = 0, last = 0;

  HARNESS_HOST_DEVICE T at(int64_t index) const {
    return cell_start + (static_cast<T>(index) + T(0.5)) * bin / static_cast<T>(grid);
  }
  HARNESS_HOST_DEVICE int64_t count() const { return last - first; }
};

// False (also for NaN and infinities) where the RoI reaches too far to be pooled.
template <typename T>
HARNESS_HOST_DEVICE bool make_axis(
    T low, T high, T scale, int64_t cell, int64_t pooled, int64_t sampling_ratio, int64_t extent,
    Axis<T>& axis) {
  const T start = low * scale;
  const T raw_side = high * scale - start;
  if (!(std::abs(start) <= T(kReach) && std::abs(raw_side) <= T(kReach))) return false;
  const T side = raw_side > T(0.1) ? raw_side : T(0.1);
  axis.bin = side / static_cast<T>(pooled);
  axis.cell_start = start + static_cast<T>(cell) * axis.bin;
  axis.grid = sampling_ratio > 0 ? sampling_ratio : static_cast<int64_t>(std::ceil(axis.bin));
  axis.first = 0;
  axis.last = axis.grid;
  if (sampling_ratio <= 0 && axis.grid > 1) {
    // Skip what cannot touch the map: the work is then bounded by the map, not by the RoI. An
    // adaptive step is at least half a pixel, so 4 points more than cover the rounding.
    const T step = axis.bin / static_cast<T>(axis.grid);
    const T first = std::floor((T(-1) - axis.cell_start) / step) - T(4);
    const T last = std::ceil((static_cast<T>(extent) - axis.cell_start) / step) + T(4);
    const T grid = static_cast<T>(axis.grid);
    axis.first = static_cast<int64_t>(first < T(0) ? T(0) : first > grid ? grid : first);
    axis.last = static_cast<int64_t>(last < T(0) ? T(0) : last > grid ? grid : last);
  }
  return true;
}

template <typename T>
struct Cell {
  int64_t batch = 0;
  Axis<T> y, x;
};

template <typename T>
HARNESS_HOST_DEVICE bool make_axes(
    const Box<T>& box, T scale, int64_t row, int64_t column, const Shape& shape, Cell<T>& cell) {
  const int64_t ratio = shape.sampling_ratio;
  return make_axis(box.y1, box.y2, scale, row, shape.pooled_height, ratio, shape.height, cell.y) &&
      make_axis(box.x1, box.x2, scale, column, shape.pooled_width, ratio, shape.width, cell.x);
}

// `roi` is batch index, x1, y1, x2, y2. False where the RoI pools to zero and gets no gradient.
template <typename T>
HARNESS_HOST_DEVICE bool make_cell(
    const T* roi, T scale, int64_t row, int64_t column, const Shape& shape, Cell<T>& cell) {
  if (!(roi[0] >= T(0) && roi[0] < static_cast<T>(shape.batch))) return false;
  cell.batch = static_cast<int64_t>(roi[0]);
  return make_axes({roi[1], roi[2], roi[3], roi[4]}, scale, row, column, shape, cell);
}

// Where a point reads along one axis: two neighbours and their weights.
template <typename T>
struct Read {
  bool inside;
  int64_t low, high;
  T low_weight, high_weight;
};

template <typename T>
HARNESS_HOST_DEVICE Read<T> make_read(T coordinate, int64_t extent) {
  if (!(coordinate >= T(-1) && coordinate <= static_cast<T>(extent))) return {false, 0, 0, 0, 0};
  if (coordinate < T(0)) coordinate = T(0);
  const int64_t low = static_cast<int64_t>(coordinate);
  if (low >= extent - 1) return {true, extent - 1, extent - 1, T(1), T(0)};
  const T high_weight = coordinate - static_cast<T>(low);
  return {true, low, low + 1, T(1) - high_weight, high_weight};
}

// The reads of one cell, found when they are asked for. A kernel that asks often keeps a table.
template <typename T>
struct CellReads {
  const Cell<T>& cell;
  const Shape& shape;

  HARNESS_HOST_DEVICE Read<T> y(int64_t index) const {
    return make_read(cell.y.at(index), shape.height);
  }
  HARNESS_HOST_DEVICE Read<T> x(int64_t index) const {
    return make_read(cell.x.at(index), shape.width);
  }
};

// Channels of one image that share a cell, in whatever memory format they have.
template <typename Scalar>
struct Planes {
  const Scalar* data;
  int64_t count, channel_stride, row_stride, column_stride;
};

// A point's four neighbours, found once for all planes.
template <typename T>
struct Point {
  int64_t offsets[4];
  T weights[4];
  bool inside;

  template <typename Scalar>
  HARNESS_HOST_DEVICE Point(const Planes<Scalar>& planes, const Read<T>& y, const Read<T>& x)
      : inside(y.inside && x.inside) {
    const int64_t rows[2] = {y.low * planes.row_stride, y.high * planes.row_stride};
    const int64_t columns[2] = {x.low * planes.column_stride, x.high * planes.column_stride};
    const T row_weights[2] = {y.low_weight, y.high_weight};
    const T column_weights[2] = {x.low_weight, x.high_weight};
    for (int i = 0; i < 4; ++i) {
      offsets[i] = rows[i / 2] + columns[i % 2];
      weights[i] = row_weights[i / 2] * column_weights[i % 2];
    }
  }

  template <typename Scalar>
  HARNESS_HOST_DEVICE T operator()(const Scalar* plane) const {
    if (!inside) return T(0);
    return weights[0] * static_cast<T>(plane[offsets[0]]) +
        weights[1] * static_cast<T>(plane[offsets[1]]) +
        weights[2] * static_cast<T>(plane[offsets[2]]) +
        weights[3] * static_cast<T>(plane[offsets[3]]);
  }
};

// A RoI that pools to zero keeps what this starts with.
template <typename T>
struct Maximum {
  T value = T(0);
  int64_t index = -1;  // among the points in reach, row by row; -1: a point outside the map

  HARNESS_HOST_DEVICE void start() {
    value = -static_cast<T>(INFINITY);
    index = 0;
  }

  // The first maximum wins; NaN beats numbers, so that a broken feature map is noticed.
  HARNESS_HOST_DEVICE void take(T candidate, int64_t at) {
    if (candidate != candidate && value == value) {
      value = candidate;
      index = at;
    }
    // A mask instead of a branch: which point wins is random, and a wrong guess costs more than
    // the read.
    index += (at - index) & -static_cast<int64_t>(candidate > value);
    value = candidate > value ? candidate : value;
  }
};

template <typename T>
HARNESS_HOST_DEVICE void take_outside(Maximum<T>* best, int64_t count) {
  for (int64_t c = 0; c < count; ++c) best[c].take(T(0), -1);
}

// `best` holds one maximum per plane.
template <typename T, typename Scalar, typename Reads>
HARNESS_HOST_DEVICE void cell_maxima(
    const Planes<Scalar>& planes, const Cell<T>& cell, const Reads& reads, Maximum<T>* best) {
  // Skipped points read zero. The first of them competes in its place in the order of the grid.
  const Axis<T>&ys = cell.y, &xs = cell.x;
  for (int64_t c = 0; c < planes.count; ++c) best[c].start();
  if (ys.first > 0 || xs.first > 0) take_outside(best, planes.count);
  int64_t index = 0;
  for (int64_t iy = ys.first; iy < ys.last; ++iy) {
    const Read<T> y = reads.y(iy);
    for (int64_t ix = xs.first; ix < xs.last; ++ix, ++index) {
      const Point<T> point(planes, y, reads.x(ix));
      for (int64_t c = 0; c < planes.count; ++c) {
        best[c].take(point(planes.data + c * planes.channel_stride), index);
      }
    }
    if (iy == 0 && xs.last < xs.grid) take_outside(best, planes.count);
  }
  if (ys.last < ys.grid) take_outside(best, planes.count);
}

// The means go where maxima go, without an index.
template <typename T, typename Scalar, typename Reads>
HARNESS_HOST_DEVICE void cell_means(
    const Planes<Scalar>& planes, const Cell<T>& cell, const Reads& reads, Maximum<T>* mean) {
  for (int64_t iy = cell.y.first; iy < cell.y.last; ++iy) {
    const Read<T> y = reads.y(iy);
    for (int64_t ix = cell.x.first; ix < cell.x.last; ++ix) {
      const Point<T> point(planes, y, reads.x(ix));
      for (int64_t c = 0; c < planes.count; ++c) {
        mean[c].value += point(planes.data + c * planes.channel_stride);
      }
    }
  }
  for (int64_t c = 0; c < planes.count; ++c) {
    mean[c].value = mean[c].value / static_cast<T>(cell.y.grid) / static_cast<T>(cell.x.grid);
  }
}

template <typename T, typename Scalar, typename Reads>
HARNESS_HOST_DEVICE void pool(
    const Planes<Scalar>& planes, const Cell<T>& cell, const Reads& reads, bool mean,
    Maximum<T>* pooled) {
  if (mean) cell_means(planes, cell, reads, pooled);
  else cell_maxima(planes, cell, reads, pooled);
}

// add(row, column, gradient) for the four neighbours of a point.
template <typename T, typename Add>
HARNESS_HOST_DEVICE void scatter_point(
    const Read<T>& y, const Read<T>& x, T gradient, const Add& add) {
  if (!(y.inside && x.inside)) return;
  add(y.low, x.low, y.low_weight * x.low_weight * gradient);
  add(y.low, x.high, y.low_weight * x.high_weight * gradient);
  add(y.high, x.low, y.high_weight * x.low_weight * gradient);
  add(y.high, x.high, y.high_weight * x.high_weight * gradient);
}

template <typename T, typename Reads, typename Add>
HARNESS_HOST_DEVICE void scatter_maximum(
    const Cell<T>& cell, const Reads& reads, int64_t index, T gradient, const Add& add) {
  if (index < 0 || index >= cell.y.count() * cell.x.count()) return;
  const int64_t iy = cell.y.first + index / cell.x.count();
  const int64_t ix = cell.x.first + index % cell.x.count();
  scatter_point(reads.y(iy), reads.x(ix), gradient, add);
}

template <typename T, typename Reads, typename Add>
HARNESS_HOST_DEVICE void scatter_mean(
    const Cell<T>& cell, const Reads& reads, T gradient, const Add& add) {
  const T share = gradient / static_cast<T>(cell.y.grid) / static_cast<T>(cell.x.grid);
  for (int64_t iy = cell.y.first; iy < cell.y.last; ++iy) {
    const Read<T> y = reads.y(iy);
    for (int64_t ix = cell.x.first; ix < cell.x.last; ++ix) {
      scatter_point(y, reads.x(ix), share, add);
    }
  }
}

}  // namespace harness::psroi
