// Launches of the kernel of resize_bilinear on emulated threads.
#pragma once

#include "../../../csrc/resize/kernel.h"
#include "team.h"

namespace harness::emulation {

inline void run_resize(Crew& crew, const resize::Job& job, int threads) {
  for (int64_t row = 0; row < job.rows.to; ++row) {
    crew.run(threads, [&](int rank) { resize::resize_row(job, row, rank, threads); });
  }
}

}  // namespace harness::emulation
