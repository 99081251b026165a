// Launching on the caller's device and stream through the stable ABI.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <cstdint>

namespace harness {

inline cudaStream_t current_stream(int32_t device) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device, &stream));
  return static_cast<cudaStream_t>(stream);
}

constexpr int kThreads = 256;

// Of shared memory, what every block gets without being asked.
constexpr int64_t kUsualSharedBytes = 49152;

inline int64_t most_shared_bytes(int32_t device) {
  int bytes = 0;
  const auto done = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  return done == cudaSuccess ? bytes : kUsualSharedBytes;
}

inline int64_t multiprocessors(int32_t device) {
  int count = 0;
  const auto done = cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return done == cudaSuccess ? count : 1;
}

// Before a launch with so many bytes, which the device must have.
template <typename Kernel>
void allow_shared_bytes(Kernel* kernel, int64_t bytes) {
  if (bytes <= kUsualSharedBytes) return;
  STD_CUDA_CHECK(cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

// Blocks for a grid-stride loop over `work` items.
inline int blocks_for(int64_t work) {
  return static_cast<int>(std::min<int64_t>((work + kThreads - 1) / kThreads, 65535));
}

}  // namespace harness
