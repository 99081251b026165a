#include "average_fours.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

namespace harness::average_fours {
namespace {

Tensor average_fours_cpu(const Tensor& maps, bool framed) {
  check(maps, framed);
  Tensor cells = make_cells(maps, framed);
  dispatch_floating(maps.scalar_type(), [&](auto type) {
    const auto job = make_job<typename decltype(type)::type>(maps, cells, framed);
    torch::stable::parallel_for(0, job.images * job.rows, 4, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t x = 0; x < job.columns; ++x)
          for (int64_t c = 0; c < job.channels; ++c)
            average<1>(job, row / job.rows, row % job.rows, x, c);
    });
  });
  return as_maps(cells);
}

}  // namespace
}  // namespace harness::average_fours

STABLE_TORCH_LIBRARY_IMPL(harness, CPU, m) {
  m.impl("average_fours", TORCH_BOX(&harness::average_fours::average_fours_cpu));
}
