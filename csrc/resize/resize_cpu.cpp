#include "arguments.h"

#include <torch/csrc/stable/library.h>

namespace harness::resize {
namespace {

constexpr int64_t kRows = 16;  // waking a thread costs more than fewer of them do

Tensor resize_bilinear_cpu(const Tensor& image, int64_t height, int64_t width, bool interleaved) {
  check(image, height, width);
  Tensor result = make_result(image, height, width, interleaved);
  const Job job = make_job(image, result);
  torch::stable::parallel_for(0, height, kRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) resize_row(job, row, 0, 1);
  });
  return result;
}

}  // namespace
}  // namespace harness::resize

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("resize_bilinear", TORCH_BOX(&harness::resize::resize_bilinear_cpu));
}
