// Memory for the blocks that run best_of_block.h: shared where the device has it.
#pragma once

#include "best_of_block.h"
#include "cuda.h"
#include "tensors.h"

#include <algorithm>
#include <optional>

namespace harness {

// The keys of all candidates stay in shared memory if there is room; so does the list, whose place
// otherwise is a tensor with one row per block.
class BestMemory {
 public:
  // Arguments of a kernel.
  struct Plan {
    uint32_t list_size;
    uint64_t* far_list;
    bool keeps_keys;

    HARNESS_DEVICE BestWorkspace workspace(unsigned char* shared, int64_t block) const {
      uint64_t* far = far_list ? far_list + block * list_size : nullptr;
      return {shared, list_size, far, keeps_keys};
    }
  };

  BestMemory(const Tensor& like, int64_t blocks, int64_t most_candidates, int64_t limit) {
    const int64_t most = most_shared_bytes(like.get_device_index());
    plan_.list_size = padded_count(static_cast<uint32_t>(std::min(limit, most_candidates)));
    const auto list = static_cast<int64_t>(plan_.list_size * sizeof(uint64_t));
    if (bytes_ + list <= most) {
      bytes_ += list;
    } else {
      far_ = torch::stable::new_empty(like, {blocks, plan_.list_size}, ScalarType::Long);
      plan_.far_list = static_cast<uint64_t*>(far_->mutable_data_ptr());
    }
    const auto keys = static_cast<int64_t>(most_candidates * sizeof(uint32_t));
    plan_.keeps_keys = bytes_ + keys <= most;
    if (plan_.keeps_keys) bytes_ += keys;
  }

  const Plan& plan() const { return plan_; }

  // Bytes of shared memory that the kernel is launched with.
  template <typename Kernel>
  int64_t reserve(Kernel* kernel) const {
    allow_shared_bytes(kernel, bytes_);
    return bytes_;
  }

 private:
  Plan plan_{};
  int64_t bytes_ = BestWorkspace::kFixedBytes;
  std::optional<Tensor> far_;
};

}  // namespace harness
