// Forward: every (cell, RoI) is independent. Backward: one thread owns an input channel, so threads
// never write to the same plane and the sum is in the order of the RoIs, whatever their number.
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

namespace harness::psroi {
namespace {

constexpr int64_t kBlock = 8;  // channels that share the work of placing the points

template <typename Scalar>
void forward(
    const Tensor& features, const Tensor& rois, Tensor& output, Tensor& argmax, const Shape& shape,
    double scale) {
  using T = accumulate_t<Scalar>;
  const Scalar* values = read<Scalar>(features);
  const T* boxes = read<T>(rois);
  Scalar* result = write<Scalar>(output);
  int64_t* indices = shape.mean ? nullptr : write<int64_t>(argmax);
  const auto strides = features.strides();
  const int64_t count = rois.size(0), cells = shape.pooled_height * shape.pooled_width;

  // Cell by cell rather than RoI by RoI: the few planes of a cell then stay in the cache.
  torch::stable::parallel_for(0, cells * count, 256, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t position = item / count, n = item % count;
      Cell<T> cell;
      const bool usable = make_cell(
          boxes + n * 5, T(scale), position / shape.pooled_width, position % shape.pooled_width,
          shape, cell);
      for (int64_t c = 0; c < shape.output_channels; c += kBlock) {
        const int64_t block = std::min(kBlock, shape.output_channels - c);
        const int64_t channel = c * cells + position;
        Maximum<T> pooled[kBlock];
        if (usable) {
          const Scalar* plane = values + cell.batch * strides[0] + channel * strides[1];
          const Planes<Scalar> planes{plane, block, cells * strides[1], strides[2], strides[3]};
          pool(planes, cell, CellReads<T>{cell, shape}, shape.mean, pooled);
        }
        for (int64_t b = 0; b < block; ++b) {
          const int64_t at = n * shape.channels + channel + b * cells;
          result[at] = static_cast<Scalar>(pooled[b].value);
          if (indices) indices[at] = pooled[b].index;
        }
      }
    }
  });
}

template <typename Scalar>
void backward(
    const Tensor& grad_output, const Tensor& rois, const Tensor& argmax, Tensor& grad_features,
    const Shape& shape, double scale) {
  using T = accumulate_t<Scalar>;
  const Scalar* gradients = read<Scalar>(grad_output);
  const T* boxes = read<T>(rois);
  const int64_t* indices = shape.mean ? nullptr : read<int64_t>(argmax);
  T* result = write<T>(grad_features);
  const int64_t count = rois.size(0), cells = shape.pooled_height * shape.pooled_width;

  torch::stable::parallel_for(0, shape.channels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; ++channel) {
      const int64_t position = channel % cells;
      for (int64_t n = 0; n < count; ++n) {
        Cell<T> cell;
        if (!make_cell(
                boxes + n * 5, T(scale), position / shape.pooled_width,
                position % shape.pooled_width, shape, cell))
          continue;
        T* plane = result + (cell.batch * shape.channels + channel) * shape.height * shape.width;
        const auto add = [&](int64_t row, int64_t column, T gradient) {
          plane[row * shape.width + column] += gradient;
        };
        const int64_t at = n * shape.channels + channel;
        const T gradient = static_cast<T>(gradients[at]);
        const CellReads<T> reads{cell, shape};
        if (shape.mean) scatter_mean(cell, reads, gradient, add);
        else scatter_maximum(cell, reads, indices[at], gradient, add);
      }
    }
  });
}

std::tuple<Tensor, Tensor> psroi_align_cpu(
    const Tensor& features, const Tensor& rois, double spatial_scale, int64_t pooled_height,
    int64_t pooled_width, int64_t output_channels, int64_t sampling_ratio, std::string reduce) {
  const Shape shape = make_shape(
      features.sizes(), rois, pooled_height, pooled_width, output_channels, sampling_ratio, reduce);
  check_rois(features, rois);
  const Tensor boxes = torch::stable::contiguous(rois);
  auto [output, argmax] = make_outputs(features, rois, shape);
  dispatch_floating(features.scalar_type(), [&, &output = output, &argmax = argmax](auto type) {
    forward<typename decltype(type)::type>(features, boxes, output, argmax, shape, spatial_scale);
  });
  return {output, argmax};
}

Tensor psroi_align_backward_cpu(
    const Tensor& grad_output, const Tensor& rois, const Tensor& argmax,
    std::vector<int64_t> feature_shape, double spatial_scale, int64_t sampling_ratio,
    std::string reduce) {
  const Shape shape = make_shape(
      feature_shape, rois, grad_output.size(2), grad_output.size(3), grad_output.size(1),
      sampling_ratio, reduce);
  check_rois(grad_output, rois);
  const Tensor gradients = torch::stable::contiguous(grad_output);
  const Tensor boxes = torch::stable::contiguous(rois);
  Tensor grad_features = torch::stable::new_zeros(rois, feature_shape);
  dispatch_floating(grad_output.scalar_type(), [&](auto type) {
    backward<typename decltype(type)::type>(
        gradients, boxes, argmax, grad_features, shape, spatial_scale);
  });
  return grad_features;
}

}  // namespace
}  // namespace harness::psroi

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("psroi_align", TORCH_BOX(&harness::psroi::psroi_align_cpu));
  m.impl("psroi_align_backward", TORCH_BOX(&harness::psroi::psroi_align_backward_cpu));
}
