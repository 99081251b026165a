// Boxes go in tiles. Placing a tile's reads once for all cells and channels is what makes this fast;
// the arithmetic is that of one level, so the results are equal bit for bit.
//
// Forward: every (cell, box) is independent. Backward: one thread owns an input channel, so threads
// never write to the same plane and the sum is in the order of the boxes, whatever their number.
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <vector>

namespace harness::psroi {
namespace {

constexpr int64_t kBlock = 8;   // channels that share the work of weighing the points
constexpr int64_t kTile = 128;  // boxes whose reads and results stay in the cache

template <typename T>
struct Tile {
  const Pyramid<T>& pyramid;
  int64_t begin = 0, size = 0;
  std::vector<Placed<T>> rois;
  std::vector<Read<T>> table;  // read by read, box by box: neighbours in a loop over boxes

  explicit Tile(const Pyramid<T>& pyramid) : pyramid(pyramid) {}

  void place_boxes(const T* boxes, int64_t first, int64_t count) {
    begin = first;
    size = count;
    rois.resize(size);
    const int64_t reads = table_size(pyramid.shape());
    table.resize(reads * size);
    for (int64_t n = 0; n < size; ++n) {
      rois[n] = place(pyramid, boxes, begin + n, (begin + n) / pyramid.image_boxes);
      if (rois[n].level < 0) continue;
      const Level<T>& level = pyramid.levels[rois[n].level];
      for (int64_t k = 0; k < reads; ++k) table[k * size + n] = make_table_read(rois[n], level, k);
    }
  }

  // f(cell, reads) for one cell of a box that has a level.
  template <typename F>
  void visit(int64_t n, int64_t position, const F& f) const {
    const Placed<T>& roi = rois[n];
    const Level<T>& level = pyramid.levels[roi.level];
    const Shape& shape = level.shape;
    const int64_t row = position / shape.pooled_width, column = position % shape.pooled_width;
    if (shape.sampling_ratio > 0) {
      f(make_table_cell<T>(shape), TableReads<T>(table.data() + n, size, row, column, shape));
      return;
    }
    Cell<T> cell;
    make_axes(roi.span, level.scale, row, column, shape, cell);
    f(cell, CellReads<T>{cell, shape});
  }
};

// The first of four equals, without branches: which point wins is random. NaN goes the slow way, and
// so may infinities, whose sum is NaN too.
template <typename T>
Maximum<T> find_maximum(const T* values) {
  constexpr int8_t kFirst[16] = {0, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0};
  const T sum = (values[0] + values[1]) + (values[2] + values[3]);
  Maximum<T> result;
  if (sum != sum) {
    result.start();
    for (int i = 0; i < 4; ++i) result.take(values[i], i);
    return result;
  }
  const T low = values[1] > values[0] ? values[1] : values[0];
  const T high = values[3] > values[2] ? values[3] : values[2];
  const T best = high > low ? high : low;
  int equal = 0;
  for (int i = 0; i < 4; ++i) equal |= static_cast<int>(values[i] == best) << i;
  result.value = best;
  result.index = kFirst[equal];
  return result;
}

// As `pool` for a grid of 2 x 2 points inside the map, the usual case: the points are lanes that the
// compiler computes side by side. False, and nothing done, where a point is outside.
template <typename T, typename Scalar, typename Reads>
bool pool_quad(const Planes<Scalar>& planes, const Reads& reads, bool mean, Maximum<T>* pooled) {
  constexpr int kLanes = 4;
  int64_t offsets[4][kLanes];
  T weights[4][kLanes];
  bool inside = true;
  for (int i = 0; i < kLanes; ++i) {
    const Point<T> point(planes, reads.y(i / 2), reads.x(i % 2));
    inside &= point.inside;
    for (int k = 0; k < 4; ++k) {
      offsets[k][i] = point.offsets[k];
      weights[k][i] = point.weights[k];
    }
  }
  if (!inside) return false;
  for (int64_t c = 0; c < planes.count; ++c) {
    const Scalar* plane = planes.data + c * planes.channel_stride;
    T values[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      values[i] = weights[0][i] * static_cast<T>(plane[offsets[0][i]]) +
          weights[1][i] * static_cast<T>(plane[offsets[1][i]]) +
          weights[2][i] * static_cast<T>(plane[offsets[2][i]]) +
          weights[3][i] * static_cast<T>(plane[offsets[3][i]]);
    }
    Maximum<T> result;
    if (mean) {
      for (int i = 0; i < kLanes; ++i) result.value += values[i];
      result.value = result.value / T(2) / T(2);
    } else {
      result = find_maximum(values);
    }
    pooled[c] = result;
  }
  return true;
}

template <typename Scalar, typename T>
struct Pooling {
  Maps<const Scalar> maps;
  const Shape& shape;
  Scalar* output;
  int32_t* argmax;  // null for the mean

  // All output channels of one cell of one box.
  void pool_cell(const Tile<T>& tile, int64_t n, int64_t position) const {
    const int64_t cells = shape.pooled_height * shape.pooled_width;
    const Placed<T>& roi = tile.rois[n];
    for (int64_t c = 0; c < shape.output_channels; c += kBlock) {
      const int64_t block = std::min(kBlock, shape.output_channels - c);
      const int64_t channel = c * cells + position;
      Maximum<T> pooled[kBlock];
      if (roi.level >= 0) {
        const auto planes = maps.planes(roi.level, roi.image, channel, block, cells);
        tile.visit(n, position, [&](const Cell<T>& cell, const auto& reads) {
          if (shape.sampling_ratio == 2 && pool_quad(planes, reads, shape.mean, pooled)) return;
          pool(planes, cell, reads, shape.mean, pooled);
        });
      }
      for (int64_t b = 0; b < block; ++b) {
        const int64_t at = (tile.begin + n) * shape.channels + channel + b * cells;
        output[at] = static_cast<Scalar>(pooled[b].value);
        if (argmax) argmax[at] = static_cast<int32_t>(pooled[b].index);
      }
    }
  }
};

template <typename Scalar, typename T>
void forward(
    const Pyramid<T>& pyramid, const Pooling<Scalar, T>& pooling, const T* boxes, int64_t count) {
  const Shape& shape = pyramid.shape();
  const int64_t cells = shape.pooled_height * shape.pooled_width;
  const int64_t tiles = (count + kTile - 1) / kTile;
  const bool channels_last = pooling.maps.strides[0][1] == 1;

  torch::stable::parallel_for(0, tiles * cells, 4, [&](int64_t begin, int64_t end) {
    Tile<T> tile(pyramid);
    for (int64_t item = begin, next; item < end; item = next) {
      const int64_t index = item / cells, first = item % cells;
      next = std::min(end, (index + 1) * cells);
      const int64_t last = first + next - item;
      tile.place_boxes(boxes, index * kTile, std::min(kTile, count - index * kTile));
      // What is read next to each other: cells of a box where channels are neighbours, boxes of a
      // cell where each channel is a plane of its own.
      if (channels_last) {
        for (int64_t n = 0; n < tile.size; ++n)
          for (int64_t p = first; p < last; ++p) pooling.pool_cell(tile, n, p);
      } else {
        for (int64_t p = first; p < last; ++p)
          for (int64_t n = 0; n < tile.size; ++n) pooling.pool_cell(tile, n, p);
      }
    }
  });
}

template <typename Scalar, typename T>
void backward(
    const Pyramid<T>& pyramid, const Maps<T>& maps, const Scalar* gradients, const T* boxes,
    const int32_t* argmax, int64_t count) {
  const Shape& shape = pyramid.shape();
  const int64_t cells = shape.pooled_height * shape.pooled_width;

  const auto scatter = [&](const Tile<T>& tile, int64_t n, int64_t channel) {
    const Placed<T>& roi = tile.rois[n];
    if (roi.level < 0) return;
    T* plane = maps.plane(roi.level, roi.image, channel);
    const int64_t* step = maps.strides[roi.level];
    const auto add = [&](int64_t row, int64_t column, T gradient) {
      plane[row * step[2] + column * step[3]] += gradient;
    };
    const int64_t at = (tile.begin + n) * shape.channels + channel;
    const T gradient = static_cast<T>(gradients[at]);
    tile.visit(n, channel % cells, [&](const Cell<T>& cell, const auto& reads) {
      if (argmax) scatter_maximum(cell, reads, argmax[at], gradient, add);
      else scatter_mean(cell, reads, gradient, add);
    });
  };

  torch::stable::parallel_for(0, shape.channels, 1, [&](int64_t begin, int64_t end) {
    Tile<T> tile(pyramid);
    for (int64_t first = 0; first < count; first += kTile) {
      tile.place_boxes(boxes, first, std::min(kTile, count - first));
      for (int64_t channel = begin; channel < end; ++channel)
        for (int64_t n = 0; n < tile.size; ++n) scatter(tile, n, channel);
    }
  });
}

std::tuple<Tensor, Tensor> psroi_align_multilevel_cpu(
    std::vector<Tensor> maps, const Tensor& boxes, std::vector<int64_t> strides,
    double finest_scale, bool inclusive, int64_t pooled_height, int64_t pooled_width,
    int64_t output_channels, int64_t sampling_ratio, std::string reduce) {
  STD_TORCH_CHECK(!maps.empty(), "psroi_align_multilevel: there are no maps");
  const Request asked{maps[0].size(1), read_sizes(maps), strides, finest_scale, inclusive,
                      pooled_height, pooled_width, output_channels, sampling_ratio, reduce};
  check_maps(maps, boxes);
  const Tensor corners = torch::stable::contiguous(boxes);
  auto [output, argmax] = make_pooled(maps[0], boxes, asked);
  Tensor &pooled = output, &indices = argmax;
  dispatch_floating(maps[0].scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const Pyramid<T> pyramid = make_pyramid<T>(asked, boxes);
    const Pooling<Scalar, T> pooling{
        read_maps<Scalar>(maps), pyramid.shape(), write<Scalar>(pooled),
        pyramid.shape().mean ? nullptr : write<int32_t>(indices)};
    forward(pyramid, pooling, read<T>(corners), pooled.size(0));
  });
  return {output, argmax};
}

std::vector<Tensor> psroi_align_multilevel_backward_cpu(
    const Tensor& grad_output, const Tensor& boxes, const Tensor& argmax,
    std::vector<int64_t> map_sizes, std::vector<int64_t> strides, double finest_scale,
    bool inclusive, int64_t sampling_ratio, std::string reduce, bool channels_last) {
  const Request asked = make_backward_request(
      grad_output, map_sizes, strides, finest_scale, inclusive, sampling_ratio, reduce);
  check_rois(grad_output, boxes);
  const Tensor gradients = torch::stable::contiguous(grad_output);
  const Tensor corners = torch::stable::contiguous(boxes);
  std::vector<Tensor> result;
  dispatch_floating(grad_output.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    const Pyramid<T> pyramid = make_pyramid<T>(asked, boxes);
    result = make_gradients(boxes, asked, channels_last);
    backward(
        pyramid, write_maps<T>(result), read<Scalar>(gradients), read<T>(corners),
        pyramid.shape().mean ? nullptr : read<int32_t>(argmax), gradients.size(0));
  });
  return result;
}

}  // namespace
}  // namespace harness::psroi

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("psroi_align_multilevel", TORCH_BOX(&harness::psroi::psroi_align_multilevel_cpu));
  m.impl(
      "psroi_align_multilevel_backward",
      TORCH_BOX(&harness::psroi::psroi_align_multilevel_backward_cpu));
}
