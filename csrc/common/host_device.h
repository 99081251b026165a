// One spelling for functions that the C++ compiler and nvcc both compile.
#pragma once

#if defined(__CUDACC__)
#define HARNESS_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HARNESS_HOST_DEVICE inline
#endif
