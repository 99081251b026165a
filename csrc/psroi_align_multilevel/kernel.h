// The bodies of the CUDA kernels: one block pools one box, or scatters its gradient. The block places
// the box's reads in shared memory once, then each thread takes elements of the output: neighbouring
// threads are neighbouring cells, so output and argmax are written in order, and maps in
// channels-last are read in order too.
#pragma once

#include "../common/divider.h"
#include "../common/team.h"
#include "psroi_align_multilevel.h"

namespace harness::psroi {

// Arguments of both kernels, by value.
template <typename T>
struct Launch {
  Pyramid<T> pyramid;
  Divider cells, columns;
  bool tabled;

  Launch(const Pyramid<T>& pyramid, bool tabled)
      : pyramid(pyramid),
        cells(pyramid.shape().pooled_height * pyramid.shape().pooled_width,
              pyramid.shape().channels),
        columns(pyramid.shape().pooled_width, pyramid.shape().channels),
        tabled(tabled) {}

  // There are fewer boxes than a grid has blocks: 32 bits are enough.
  HARNESS_DEVICE Placed<T> place_box(const T* boxes, uint32_t n) const {
    return place(pyramid, boxes, n, n / static_cast<uint32_t>(pyramid.image_boxes));
  }
};

// f(element, cell, reads) for the output elements of a box that has a level. The whole block calls.
// With kRatio, which then is the sampling ratio, loops over points unroll and all reads are in
// flight at once; there must be a table.
template <int kRatio, typename T, typename Block, typename F>
HARNESS_DEVICE void visit_elements(
    const Block& block, const Launch<T>& launch, const Placed<T>& roi, Read<T>* table, const F& f) {
  const Level<T>& level = launch.pyramid.levels[roi.level];
  Shape shape = level.shape;
  if (kRatio > 0) shape.sampling_ratio = kRatio;
  if (launch.tabled) {
    const int reads = static_cast<int>(table_size(shape));
    for (int k = block.rank(); k < reads; k += block.size()) {
      table[k] = make_table_read(roi, level, k);
    }
    block.sync();
  }
  for (uint32_t e = block.rank(); e < shape.channels; e += block.size()) {
    const uint32_t position = e - launch.cells(e) * launch.cells.divisor;
    const uint32_t row = launch.columns(position);
    const uint32_t column = position - row * launch.columns.divisor;
    if (kRatio > 0 || launch.tabled) {
      f(e, make_table_cell<T>(shape), TableReads<T>(table, 1, row, column, shape));
    } else {
      Cell<T> cell;
      make_axes(roi.span, level.scale, row, column, level.shape, cell);
      f(e, cell, CellReads<T>{cell, level.shape});
    }
  }
}

// `argmax` is null for the mean.
template <int kRatio, typename T, typename Scalar, typename Block>
HARNESS_DEVICE void pool_box(
    const Block& block, const Launch<T>& launch, const Maps<const Scalar>& maps, const T* boxes,
    uint32_t n, Read<T>* table, Scalar* output, int32_t* argmax) {
  const int64_t channels = launch.pyramid.shape().channels;
  const Placed<T> roi = launch.place_box(boxes, n);
  const auto store = [&](int64_t element, const Maximum<T>& pooled) {
    output[n * channels + element] = static_cast<Scalar>(pooled.value);
    if (argmax) argmax[n * channels + element] = static_cast<int32_t>(pooled.index);
  };
  if (roi.level < 0) {
    for (int64_t e = block.rank(); e < channels; e += block.size()) store(e, Maximum<T>());
    return;
  }
  const auto pool_element = [&](int64_t element, const Cell<T>& cell, const auto& reads) {
    Maximum<T> pooled;
    const auto planes = maps.planes(roi.level, roi.image, element, 1, 0);
    pool(planes, cell, reads, argmax == nullptr, &pooled);
    store(element, pooled);
  };
  visit_elements<kRatio>(block, launch, roi, table, pool_element);
}

// Boxes overlap, so the block adds atomically.
template <int kRatio, typename T, typename Scalar, typename Block>
HARNESS_DEVICE void scatter_box(
    const Block& block, const Launch<T>& launch, const Maps<T>& maps, const Scalar* gradients,
    const T* boxes, uint32_t n, const int32_t* argmax, Read<T>* table) {
  const Placed<T> roi = launch.place_box(boxes, n);
  if (roi.level < 0) return;
  const int64_t first = n * launch.pyramid.shape().channels;
  const int64_t row_stride = maps.strides[roi.level][2], stride = maps.strides[roi.level][3];
  const auto scatter = [&](int64_t element, const Cell<T>& cell, const auto& reads) {
    T* plane = maps.plane(roi.level, roi.image, element);
    const auto add = [&](int64_t row, int64_t column, T gradient) {
      block.add(plane + row * row_stride + column * stride, gradient);
    };
    const T gradient = static_cast<T>(gradients[first + element]);
    if (argmax) scatter_maximum(cell, reads, argmax[first + element], gradient, add);
    else scatter_mean(cell, reads, gradient, add);
  };
  visit_elements<kRatio>(block, launch, roi, table, scatter);
}

}  // namespace harness::psroi
