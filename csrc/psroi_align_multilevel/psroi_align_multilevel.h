// Which map a box is pooled from, and where it reads there; shared by the CPU and the CUDA kernels.
// The pooling itself is that of one level, in psroi_align.h.
#pragma once

#include "../psroi_align/psroi_align.h"

namespace harness::psroi {

constexpr int kLevels = 8;

template <typename T>
struct Level {
  Shape shape;
  T scale;
  T least_area;  // of the boxes of this map; the finest takes all that have an area
};

// Equation 1 of FPN (arXiv 1612.03144) with its logarithm taken off: floor(log2(sqrt(area) / finest
// + 1e-6)) is at least k where the area is at least ((2^k - 1e-6) finest)^2.
inline double least_area(int64_t level, double finest_scale) {
  const double side = (static_cast<double>(int64_t(1) << level) - 1e-6) * finest_scale;
  return side * side;
}

template <typename T>
Level<T> make_level(const Shape& shape, int64_t k, int64_t stride, double finest_scale) {
  return {
      shape, static_cast<T>(1.0 / static_cast<double>(stride)),
      static_cast<T>(least_area(k, finest_scale))};
}

// Passed to kernels by value.
template <typename T>
struct Pyramid {
  Level<T> levels[kLevels];
  int64_t count;
  int64_t image_boxes;  // padded boxes of an image
  bool inclusive;       // a box spans from its first to its last pixel

  HARNESS_HOST_DEVICE const Shape& shape() const { return levels[0].shape; }  // what all share
};

// The maps, or their gradients, in whatever memory format they have.
template <typename Scalar>
struct Maps {
  Scalar* data[kLevels];
  int64_t strides[kLevels][4];

  HARNESS_HOST_DEVICE Scalar* plane(int64_t level, int64_t image, int64_t channel) const {
    return data[level] + image * strides[level][0] + channel * strides[level][1];
  }
  HARNESS_HOST_DEVICE Planes<Scalar> planes(
      int64_t level, int64_t image, int64_t channel, int64_t count, int64_t cells) const {
    const int64_t* step = strides[level];
    return {plane(level, image, channel), count, cells * step[1], step[2], step[3]};
  }
};

// Only subtracts, multiplies and compares, so that every device and compiler finds the same level:
// a logarithm's last bit, and a division that a compiler turns into a product, differ.
template <typename T>
HARNESS_HOST_DEVICE int64_t find_level(const Pyramid<T>& pyramid, const Box<T>& box) {
  T width = box.x2 - box.x1, height = box.y2 - box.y1;
  width = width < T(0) ? T(0) : width;
  height = height < T(0) ? T(0) : height;
  const T box_area = width * height;
  if (!(box_area > T(0))) return -1;
  int64_t level = 0;
  for (int64_t k = 1; k < pyramid.count; ++k) level += box_area >= pyramid.levels[k].least_area;
  return level;
}

// Level -1: pools to zero and gets no gradient.
template <typename T>
struct Placed {
  int64_t level, image;
  Box<T> span;
};

template <typename T>
HARNESS_HOST_DEVICE Placed<T> place(
    const Pyramid<T>& pyramid, const T* boxes, int64_t n, int64_t image) {
  const T* corners = boxes + n * 4;
  const Box<T> box{corners[0], corners[1], corners[2], corners[3]};
  Placed<T> roi{find_level(pyramid, box), image, box};
  if (roi.level < 0) return roi;
  if (pyramid.inclusive) {
    roi.span.x2 -= T(1);
    roi.span.y2 -= T(1);
  }
  const Level<T>& level = pyramid.levels[roi.level];
  Cell<T> cell;  // whether a box is in reach is the same for all its cells
  if (!make_axes(roi.span, level.scale, 0, 0, level.shape, cell)) roi.level = -1;
  return roi;
}

// With a fixed grid the cells of a row share their y, those of a column their x: read k of a box is
// one of the rows', cell by cell, and after them one of the columns'.
template <typename T>
HARNESS_HOST_DEVICE Read<T> make_table_read(const Placed<T>& roi, const Level<T>& level, int64_t k) {
  const Shape& shape = level.shape;
  const int64_t ratio = shape.sampling_ratio, rows = shape.pooled_height * ratio;
  Axis<T> axis;
  if (k < rows) {
    make_axis(
        roi.span.y1, roi.span.y2, level.scale, k / ratio, shape.pooled_height, ratio, shape.height,
        axis);
    return make_read(axis.at(k % ratio), shape.height);
  }
  k -= rows;
  make_axis(
      roi.span.x1, roi.span.x2, level.scale, k / ratio, shape.pooled_width, ratio, shape.width,
      axis);
  return make_read(axis.at(k % ratio), shape.width);
}

HARNESS_HOST_DEVICE int64_t table_size(const Shape& shape) {
  return shape.sampling_ratio > 0
      ? (shape.pooled_height + shape.pooled_width) * shape.sampling_ratio
      : 0;
}

// The reads of one cell out of such a table, `step` apart.
template <typename T>
struct TableReads {
  const Read<T>*ys, *xs;
  int64_t step;

  HARNESS_HOST_DEVICE TableReads(
      const Read<T>* table, int64_t step, int64_t row, int64_t column, const Shape& shape)
      : ys(table + row * shape.sampling_ratio * step),
        xs(table + (shape.pooled_height + column) * shape.sampling_ratio * step),
        step(step) {}
  HARNESS_HOST_DEVICE const Read<T>& y(int64_t index) const { return ys[index * step]; }
  HARNESS_HOST_DEVICE const Read<T>& x(int64_t index) const { return xs[index * step]; }
};

// The cell of a fixed grid, as far as pooling from a table asks.
template <typename T>
HARNESS_HOST_DEVICE Cell<T> make_table_cell(const Shape& shape) {
  Cell<T> cell;
  cell.y.grid = cell.y.last = cell.x.grid = cell.x.last = shape.sampling_ratio;
  return cell;
}

}  // namespace harness::psroi
