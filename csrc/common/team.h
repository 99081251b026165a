// What the body of a kernel knows of the threads that run it. Bodies are templates over these, and
// tests run the very same bodies on emulated threads (tests/ops/emulation/team.h).
//
// Only `sync` orders memory: what one thread writes another may read after the next `sync` of both.
#pragma once

#include "host_device.h"

#include <cstdint>

namespace harness {

constexpr int kWarp = 32;

HARNESS_HOST_DEVICE int count_bits(uint64_t bits) {
#if defined(__CUDA_ARCH__)
  return __popcll(bits);
#else
  return __builtin_popcountll(bits);
#endif
}

HARNESS_HOST_DEVICE uint64_t bits_below(int position) { return (uint64_t(1) << position) - 1; }

#if defined(__CUDACC__)

struct Warp {
  __device__ int lane() const { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ void sync() const { __syncwarp(); }
  __device__ uint32_t ballot(bool flag) const { return __ballot_sync(0xffffffffu, flag); }
  template <typename T>
  __device__ T shuffle_xor(T value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }
  template <typename T>
  __device__ T shuffle(T value, int lane) const {
    return __shfl_sync(0xffffffffu, value, lane);
  }
};

struct Block {
  __device__ int rank() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return static_cast<int>(blockDim.x); }
  __device__ void sync() const { __syncthreads(); }
  __device__ Warp warp() const { return {}; }
  template <typename T>
  __device__ void add(T* place, T value) const {
    atomicAdd(place, value);
  }
  __device__ uint32_t fetch_add(uint32_t* place, uint32_t value) const {
    return atomicAdd(place, value);
  }
  __device__ void set_bits(uint32_t* place, uint32_t bits) const { atomicOr(place, bits); }
};

#endif

}  // namespace harness
