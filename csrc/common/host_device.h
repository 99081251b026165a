// One spelling for functions that the C++ compiler and nvcc both compile. Those of the second kind
// are the bodies of kernels: on the host only tests compile them, with emulated threads.
#pragma once

#if defined(__CUDACC__)
#define HARNESS_HOST_DEVICE __host__ __device__ __forceinline__
#define HARNESS_DEVICE __device__ __forceinline__
#define HARNESS_UNROLL _Pragma("unroll")
#define HARNESS_PRAGMA(text) _Pragma(#text)
#define HARNESS_UNROLL_BY(count) HARNESS_PRAGMA(unroll count)
#else
#define HARNESS_HOST_DEVICE inline
#define HARNESS_DEVICE inline
#define HARNESS_UNROLL
#define HARNESS_UNROLL_BY(count)
#endif
