// The bodies of the CUDA kernels for many boxes: one block takes one channel of one image, whose
// planes of all levels lie in shared memory meanwhile. Device memory is read, or written, once and in
// order, where a block per box touches a few bytes here and there.
#pragma once

#include "../common/team.h"
#include "psroi_align_multilevel.h"

namespace harness::psroi {

// Where the planes of a channel begin, one after the other.
struct Stack {
  uint32_t first[kLevels + 1];

  template <typename T>
  explicit Stack(const Pyramid<T>& pyramid) : first{} {
    for (int64_t k = 0; k < pyramid.count; ++k) {
      const Shape& shape = pyramid.levels[k].shape;
      first[k + 1] = first[k] + static_cast<uint32_t>(shape.height * shape.width);
    }
    cells_ = first[pyramid.count];
  }
  HARNESS_HOST_DEVICE uint32_t cells() const { return cells_; }

 private:
  uint32_t cells_;
};

// f(element, cell, reads, level) for the block's channel of all boxes of its image; level -1: none.
// With kRatio, which then is the sampling ratio, loops over points unroll.
template <int kRatio, typename T, typename Block, typename F>
HARNESS_DEVICE void visit_boxes(
    const Block& block, const Pyramid<T>& pyramid, const T* boxes, uint32_t image, uint32_t channel,
    const F& f) {
  const Shape& all = pyramid.shape();
  const auto columns = static_cast<uint32_t>(all.pooled_width);
  const uint32_t position = channel % (static_cast<uint32_t>(all.pooled_height) * columns);
  const auto count = static_cast<uint32_t>(pyramid.image_boxes);
  for (uint32_t i = block.rank(); i < count; i += block.size()) {
    const int64_t n = static_cast<int64_t>(image) * count + i, element = n * all.channels + channel;
    const Placed<T> roi = place(pyramid, boxes, n, image);
    Cell<T> cell;
    Shape shape = roi.level < 0 ? all : pyramid.levels[roi.level].shape;
    if (kRatio > 0) shape.sampling_ratio = kRatio;
    if (roi.level >= 0) {
      const T scale = pyramid.levels[roi.level].scale;
      make_axes(roi.span, scale, position / columns, position % columns, shape, cell);
    }
    f(element, cell, CellReads<T>{cell, shape}, roi.level);
  }
}

// `planes` is shared memory for a stack; each map's rows follow one another without gaps. `argmax` is
// null for the mean.
template <int kRatio, typename T, typename Scalar, typename Block>
HARNESS_DEVICE void pool_planes(
    const Block& block, const Pyramid<T>& pyramid, const Stack& stack,
    const Maps<const Scalar>& maps, const T* boxes, uint32_t number, Scalar* planes, Scalar* output,
    int32_t* argmax) {
  const auto channels = static_cast<uint32_t>(pyramid.shape().channels);
  const uint32_t image = number / channels, channel = number % channels;
  for (int64_t k = 0; k < pyramid.count; ++k) {
    const Scalar* plane = maps.plane(k, image, channel);
    const uint32_t cells = stack.first[k + 1] - stack.first[k];
    for (uint32_t i = block.rank(); i < cells; i += block.size()) {
      planes[stack.first[k] + i] = plane[i];
    }
  }
  block.sync();
  const auto pool_box = [&](int64_t element, const auto& cell, const auto& reads, int64_t level) {
    Maximum<T> pooled;
    if (level >= 0) {
      const int64_t width = pyramid.levels[level].shape.width;
      const Planes<const Scalar> plane{planes + stack.first[level], 1, 0, width, 1};
      pool(plane, cell, reads, argmax == nullptr, &pooled);
    }
    output[element] = static_cast<Scalar>(pooled.value);
    if (argmax) argmax[element] = static_cast<int32_t>(pooled.index);
  };
  visit_boxes<kRatio>(block, pyramid, boxes, image, channel, pool_box);
}

// Writes every byte of the gradients, in the memory format of `pool_planes`.
template <int kRatio, typename T, typename Scalar, typename Block>
HARNESS_DEVICE void scatter_planes(
    const Block& block, const Pyramid<T>& pyramid, const Stack& stack, const Maps<T>& maps,
    const Scalar* gradients, const T* boxes, uint32_t number, const int32_t* argmax, T* planes) {
  const auto channels = static_cast<uint32_t>(pyramid.shape().channels);
  const uint32_t image = number / channels, channel = number % channels;
  for (uint32_t i = block.rank(); i < stack.cells(); i += block.size()) planes[i] = T(0);
  block.sync();
  const auto scatter = [&](int64_t element, const auto& cell, const auto& reads, int64_t level) {
    if (level < 0) return;
    T* plane = planes + stack.first[level];
    const auto width = static_cast<uint32_t>(pyramid.levels[level].shape.width);
    const auto add = [&](int64_t row, int64_t column, T gradient) {
      block.add(plane + static_cast<uint32_t>(row) * width + column, gradient);
    };
    const T gradient = static_cast<T>(gradients[element]);
    if (argmax) scatter_maximum(cell, reads, argmax[element], gradient, add);
    else scatter_mean(cell, reads, gradient, add);
  };
  visit_boxes<kRatio>(block, pyramid, boxes, image, channel, scatter);
  block.sync();
  for (int64_t k = 0; k < pyramid.count; ++k) {
    T* plane = maps.plane(k, image, channel);
    const uint32_t cells = stack.first[k + 1] - stack.first[k];
    for (uint32_t i = block.rank(); i < cells; i += block.size()) {
      plane[i] = planes[stack.first[k] + i];
    }
  }
}

}  // namespace harness::psroi
