// Forward: one thread per output element, no races, deterministic.
// Backward: RoIs overlap, so threads add atomically to the neighbours of a point. Each sum is right
// but its order, and so its last bits, vary between runs; under deterministic algorithms the
// Python side takes the reference's backward instead.
#include "../common/cuda.h"
#include "arguments.h"

#include <torch/csrc/stable/library.h>

#include <string>
#include <tuple>
#include <vector>

namespace harness::psroi {
namespace {

struct Strides {
  int64_t batch, channel, row, column;
};

template <typename Scalar, typename T>
__global__ void forward(
    const Scalar* features, Strides strides, const T* rois, T scale, int64_t total, Shape shape,
    Scalar* output, int64_t* argmax) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step) {
    const Element element = make_element(i, shape);
    Cell<T> cell;
    Maximum<T> pooled;
    if (make_cell(rois + element.roi * 5, scale, element.row, element.column, shape, cell)) {
      const Scalar* plane =
          features + cell.batch * strides.batch + element.input_channel * strides.channel;
      const Planes<Scalar> planes{plane, 1, 0, strides.row, strides.column};
      pool(planes, cell, CellReads<T>{cell, shape}, shape.mean, &pooled);
    }
    output[i] = static_cast<Scalar>(pooled.value);
    if (argmax) argmax[i] = pooled.index;
  }
}

template <typename Scalar, typename T>
__global__ void backward(
    const Scalar* grad_output, const T* rois, const int64_t* argmax, T scale, int64_t total,
    Shape shape, T* grad_features) {
  const int64_t step = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < total; i += step) {
    const Element element = make_element(i, shape);
    Cell<T> cell;
    if (!make_cell(rois + element.roi * 5, scale, element.row, element.column, shape, cell))
      continue;
    T* plane = grad_features +
        (cell.batch * shape.channels + element.input_channel) * shape.height * shape.width;
    const auto add = [&](int64_t row, int64_t column, T gradient) {
      atomicAdd(plane + row * shape.width + column, gradient);
    };
    const T gradient = static_cast<T>(grad_output[i]);
    const CellReads<T> reads{cell, shape};
    if (argmax) scatter_maximum(cell, reads, argmax[i], gradient, add);
    else scatter_mean(cell, reads, gradient, add);
  }
}

std::tuple<Tensor, Tensor> psroi_align_cuda(
    const Tensor& features, const Tensor& rois, double spatial_scale, int64_t pooled_height,
    int64_t pooled_width, int64_t output_channels, int64_t sampling_ratio, std::string reduce) {
  const Shape shape = make_shape(
      features.sizes(), rois, pooled_height, pooled_width, output_channels, sampling_ratio, reduce);
  check_rois(features, rois);
  const torch::stable::accelerator::DeviceGuard guard(features.get_device_index());
  const Tensor boxes = torch::stable::contiguous(rois);
  auto [output, argmax] = make_outputs(features, rois, shape);
  const int64_t total = rois.size(0) * shape.channels;
  if (total == 0) return {output, argmax};
  int64_t* indices = shape.mean ? nullptr : write<int64_t>(argmax);
  const auto sizes = features.strides();
  const Strides strides{sizes[0], sizes[1], sizes[2], sizes[3]};
  Tensor& result = output;
  dispatch_floating(features.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    forward<Scalar, T>
        <<<blocks_for(total), kThreads, 0, current_stream(features.get_device_index())>>>(
            read<Scalar>(features), strides, read<T>(boxes), static_cast<T>(spatial_scale), total,
            shape, write<Scalar>(result), indices);
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {output, argmax};
}

Tensor psroi_align_backward_cuda(
    const Tensor& grad_output, const Tensor& rois, const Tensor& argmax,
    std::vector<int64_t> feature_shape, double spatial_scale, int64_t sampling_ratio,
    std::string reduce) {
  const Shape shape = make_shape(
      feature_shape, rois, grad_output.size(2), grad_output.size(3), grad_output.size(1),
      sampling_ratio, reduce);
  check_rois(grad_output, rois);
  const torch::stable::accelerator::DeviceGuard guard(grad_output.get_device_index());
  const Tensor gradients = torch::stable::contiguous(grad_output);
  const Tensor boxes = torch::stable::contiguous(rois);
  Tensor grad_features = torch::stable::new_zeros(rois, feature_shape);
  const int64_t total = rois.size(0) * shape.channels;
  if (total == 0) return grad_features;
  const int64_t* indices = shape.mean ? nullptr : read<int64_t>(argmax);
  dispatch_floating(grad_output.scalar_type(), [&](auto type) {
    using Scalar = typename decltype(type)::type;
    using T = accumulate_t<Scalar>;
    backward<Scalar, T>
        <<<blocks_for(total), kThreads, 0, current_stream(grad_output.get_device_index())>>>(
            read<Scalar>(gradients), read<T>(boxes), indices, static_cast<T>(spatial_scale), total,
            shape, write<T>(grad_features));
  });
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return grad_features;
}

}  // namespace
}  // namespace harness::psroi

STABLE_TORCH_LIBRARY_IMPL(harness, CUDA, m) {
  m.impl("psroi_align", TORCH_BOX(&harness::psroi::psroi_align_cuda));
  m.impl("psroi_align_backward", TORCH_BOX(&harness::psroi::psroi_align_backward_cuda));
}
