// The bodies of the CUDA kernels for many boxes. One notes where each box reads; then one block takes
// one channel of one image, whose planes of all levels are in shared memory meanwhile: device memory
// is read, or written, once and in order, where a block per box touches a few bytes here and there.
#pragma once

#include "../common/team.h"
#include "psroi_align_multilevel.h"

namespace harness::psroi {

// Where the planes of a channel begin, one after the other.
struct Stack {
  uint32_t first[kLevels + 1] = {};
  uint32_t cells = 0;

  template <typename T>
  explicit Stack(const Pyramid<T>& pyramid) {
    for (int64_t k = 0; k < pyramid.count; ++k) {
      const Shape& shape = pyramid.levels[k].shape;
      first[k + 1] = first[k] + static_cast<uint32_t>(shape.height * shape.width);
    }
    cells = first[pyramid.count];
  }
};

// A `Read` in few bytes. Sides are far from having 30 bits.
template <typename T>
struct Note {
  uint32_t bits;  // whether inside; whether high is low + 1; low
  T high_weight;

  HARNESS_DEVICE static Note of(const Read<T>& read) {
    const auto low = static_cast<uint32_t>(read.low);
    return {uint32_t(read.inside) << 31 | uint32_t(read.high != read.low) << 30 | low,
            read.high_weight};
  }
  HARNESS_DEVICE bool inside() const { return bits >> 31; }
  HARNESS_DEVICE uint32_t low() const { return bits & 0x3fffffffu; }
  HARNESS_DEVICE uint32_t high() const { return low() + (bits >> 30 & 1); }
  HARNESS_DEVICE T low_weight() const { return T(1) - high_weight; }
};

// The reads of all boxes, as many as `table_size` each, neighbouring boxes side by side; and their
// levels, -1: none.
template <typename T>
struct Notes {
  Note<T>* reads;
  int8_t* levels;
  uint32_t boxes;

  static int64_t bytes(int64_t boxes, int64_t table_size) {
    return boxes * (table_size * static_cast<int64_t>(sizeof(Note<T>)) + 1);
  }
  Notes(void* memory, int64_t boxes, int64_t table_size)
      : reads(static_cast<Note<T>*>(memory)),
        levels(reinterpret_cast<int8_t*>(reads + boxes * table_size)),
        boxes(static_cast<uint32_t>(boxes)) {}

  HARNESS_DEVICE const Note<T>& at(uint32_t read, uint32_t box) const {
    return reads[static_cast<int64_t>(read) * boxes + box];
  }
};

// Notes read `k` of box `n`.
template <typename T>
HARNESS_DEVICE void take_note(
    const Pyramid<T>& pyramid, const T* boxes, uint32_t n, uint32_t k, const Notes<T>& notes) {
  const Placed<T> roi = place(pyramid, boxes, n, 0);
  if (k == 0) notes.levels[n] = static_cast<int8_t>(roi.level);
  if (roi.level < 0) return;
  const Read<T> read = make_table_read(roi, pyramid.levels[roi.level], k);
  notes.reads[static_cast<int64_t>(k) * notes.boxes + n] = Note<T>::of(read);
}

// What a block works on, and how it finds the reads of its cell. With kRatio, which then is the
// sampling ratio, loops over points unroll.
template <int kRatio, typename T>
struct Channel {
  const Pyramid<T>& pyramid;
  const Notes<T>& notes;
  uint32_t image, channel, channels, ratio, first_y, first_x;

  HARNESS_DEVICE Channel(const Pyramid<T>& pyramid, const Notes<T>& notes, uint32_t number)
      : pyramid(pyramid), notes(notes) {
    const Shape& shape = pyramid.shape();
    channels = static_cast<uint32_t>(shape.channels);
    image = number / channels;
    channel = number % channels;
    ratio = kRatio > 0 ? kRatio : static_cast<uint32_t>(shape.sampling_ratio);
    const auto rows = static_cast<uint32_t>(shape.pooled_height);
    const auto columns = static_cast<uint32_t>(shape.pooled_width);
    const uint32_t position = channel % (rows * columns);
    first_y = position / columns * ratio;
    first_x = (rows + position % columns) * ratio;
  }
  HARNESS_DEVICE const Note<T>& y(uint32_t point, uint32_t box) const {
    return notes.at(first_y + point, box);
  }
  HARNESS_DEVICE const Note<T>& x(uint32_t point, uint32_t box) const {
    return notes.at(first_x + point, box);
  }
  HARNESS_DEVICE uint32_t width(int level) const {
    return static_cast<uint32_t>(pyramid.levels[level].shape.width);
  }

  // f(element, box, level) for all boxes of the image.
  template <typename Block, typename F>
  HARNESS_DEVICE void visit_boxes(const Block& block, const F& f) const {
    const auto count = static_cast<uint32_t>(pyramid.image_boxes);
    for (uint32_t i = block.rank(); i < count; i += block.size()) {
      const uint32_t n = image * count + i;
      f(static_cast<int64_t>(n) * channels + channel, n, notes.levels[n]);
    }
  }
};

// The same products and sums, in the same order, as `Point` of psroi_align.h.
template <typename T, typename Scalar>
HARNESS_DEVICE T read_point(
    const Scalar* plane, uint32_t width, const Note<T>& y, const Note<T>& x) {
  if (!(y.inside() && x.inside())) return T(0);
  const Scalar *above = plane + y.low() * width, *below = plane + y.high() * width;
  const uint32_t left = x.low(), right = x.high();
  return y.low_weight() * x.low_weight() * static_cast<T>(above[left]) +
      y.low_weight() * x.high_weight * static_cast<T>(above[right]) +
      y.high_weight * x.low_weight() * static_cast<T>(below[left]) +
      y.high_weight * x.high_weight * static_cast<T>(below[right]);
}

// In vectors where both sides allow it; the whole block calls.
template <typename Block, typename Scalar>
HARNESS_DEVICE void copy_cells(
    const Block& block, const Scalar* from, Scalar* to, uint32_t count) {
  struct alignas(16) Vector {
    uint32_t words[4];
  };
  constexpr uint32_t kWidth = sizeof(Vector) / sizeof(Scalar);
  const auto places = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to);
  uint32_t done = 0;
  if (places % sizeof(Vector) == 0) {
    const auto* source = reinterpret_cast<const Vector*>(from);
    auto* target = reinterpret_cast<Vector*>(to);
    HARNESS_UNROLL_BY(4)
    for (uint32_t i = block.rank(); i < count / kWidth; i += block.size()) target[i] = source[i];
    done = count / kWidth * kWidth;
  }
  for (uint32_t i = done + block.rank(); i < count; i += block.size()) to[i] = from[i];
}

// `planes` is shared memory for a stack; each map's rows follow one another without gaps. `argmax` is
// null for the mean.
template <int kRatio, typename T, typename Scalar, typename Block>
HARNESS_DEVICE void pool_planes(
    const Block& block, const Pyramid<T>& pyramid, const Stack& stack, const Notes<T>& notes,
    const Maps<const Scalar>& maps, uint32_t number, Scalar* planes, Scalar* output,
    int32_t* argmax) {
  const Channel<kRatio, T> own(pyramid, notes, number);
  for (int64_t k = 0; k < pyramid.count; ++k) {
    const uint32_t first = stack.first[k];
    copy_cells(
        block, maps.plane(k, own.image, own.channel), planes + first, stack.first[k + 1] - first);
  }
  block.sync();
  own.visit_boxes(block, [&](int64_t element, uint32_t n, int level) {
    Maximum<T> pooled;
    if (level >= 0) {
      if (argmax) pooled.start();
      const Scalar* plane = planes + stack.first[level];
      HARNESS_UNROLL
      for (uint32_t iy = 0; iy < own.ratio; ++iy) {
        const Note<T> y = own.y(iy, n);
        HARNESS_UNROLL
        for (uint32_t ix = 0; ix < own.ratio; ++ix) {
          const T value = read_point(plane, own.width(level), y, own.x(ix, n));
          if (argmax) pooled.take(value, iy * own.ratio + ix);
          else pooled.value += value;
        }
      }
      if (!argmax) pooled.value = pooled.value / static_cast<T>(own.ratio) / static_cast<T>(own.ratio);
    }
    output[element] = static_cast<Scalar>(pooled.value);
    if (argmax) argmax[element] = static_cast<int32_t>(pooled.index);
  });
}

// Writes every byte of the gradients, in the memory format of `pool_planes`.
template <int kRatio, typename T, typename Scalar, typename Block>
HARNESS_DEVICE void scatter_planes(
    const Block& block, const Pyramid<T>& pyramid, const Stack& stack, const Notes<T>& notes,
    const Maps<T>& maps, const Scalar* gradients, uint32_t number, const int32_t* argmax,
    T* planes) {
  const Channel<kRatio, T> own(pyramid, notes, number);
  for (uint32_t i = block.rank(); i < stack.cells; i += block.size()) planes[i] = T(0);
  block.sync();
  own.visit_boxes(block, [&](int64_t element, uint32_t n, int level) {
    if (level < 0) return;
    T* plane = planes + stack.first[level];
    const uint32_t width = own.width(level);
    const auto scatter = [&](uint32_t iy, uint32_t ix, T gradient) {
      const Note<T> y = own.y(iy, n), x = own.x(ix, n);
      if (!(y.inside() && x.inside())) return;
      T *above = plane + y.low() * width, *below = plane + y.high() * width;
      block.add(above + x.low(), y.low_weight() * x.low_weight() * gradient);
      block.add(above + x.high(), y.low_weight() * x.high_weight * gradient);
      block.add(below + x.low(), y.high_weight * x.low_weight() * gradient);
      block.add(below + x.high(), y.high_weight * x.high_weight * gradient);
    };
    const T gradient = static_cast<T>(gradients[element]);
    if (argmax) {
      const auto index = static_cast<uint32_t>(argmax[element]);  // -1, outside, is beyond all
      if (index < own.ratio * own.ratio) scatter(index / own.ratio, index % own.ratio, gradient);
      return;
    }
    const T share = gradient / static_cast<T>(own.ratio) / static_cast<T>(own.ratio);
    for (uint32_t i = 0; i < own.ratio * own.ratio; ++i) scatter(i / own.ratio, i % own.ratio, share);
  });
  block.sync();
  for (int64_t k = 0; k < pyramid.count; ++k) {
    const uint32_t first = stack.first[k];
    copy_cells(
        block, planes + first, maps.plane(k, own.image, own.channel), stack.first[k + 1] - first);
  }
}

}  // namespace harness::psroi
