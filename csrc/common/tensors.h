// The little of a tensor library that the kernels need, on PyTorch's stable ABI only, so that one
// binary serves every supported torch.
#pragma once

#include "boxes.h"

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Exception.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>
#include <type_traits>

namespace harness {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename T>
struct Type {
  using type = T;
};

// Half types are stored as they are and computed in float.
template <typename T>
using accumulate_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

inline ScalarType accumulate_dtype(ScalarType dtype) {
  return dtype == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// Calls f(Type<T>{}) with the C++ type of a floating dtype.
template <typename F>
void dispatch_floating(ScalarType dtype, const F& f) {
  switch (dtype) {
    case ScalarType::Float:
      return f(Type<float>{});
    case ScalarType::Double:
      return f(Type<double>{});
    case ScalarType::Half:
      return f(Type<torch::headeronly::Half>{});
    case ScalarType::BFloat16:
      return f(Type<torch::headeronly::BFloat16>{});
    default:
      STD_TORCH_CHECK(false, "expected float32, float64, float16 or bfloat16");
  }
}

template <typename T>
const T* read(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <typename T>
T* write(Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Of (G, N, 4).
template <typename Scalar>
Corners<Scalar> read_corners(const Tensor& boxes) {
  return {read<Scalar>(boxes), boxes.stride(0), boxes.stride(1), boxes.stride(2)};
}

}  // namespace harness
