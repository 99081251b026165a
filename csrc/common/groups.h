// Independent groups on the threads of the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace harness {

// make_worker() gives each thread its f(group). A thread takes the next group when it is done with
// one, since groups differ in work: five levels in two equal parts would leave one thread idle.
template <typename F>
void for_each_group(int64_t groups, bool in_parallel, const F& make_worker) {
  const auto threads = static_cast<int64_t>(torch::stable::get_num_threads());
  const int64_t workers = in_parallel ? std::min(threads, groups) : std::min<int64_t>(1, groups);
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
    auto work = make_worker();
    for (int64_t group = next++; group < groups; group = next++) work(group);
  });
}

}  // namespace harness
