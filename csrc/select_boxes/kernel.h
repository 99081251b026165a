// The body of the CUDA kernel: one block finds the best boxes of one image.
#pragma once

#include "../common/best_of_block.h"
#include "select_boxes.h"

namespace harness::select_boxes {

template <typename Block, typename Scalar>
HARNESS_DEVICE void select_of_image(
    const Block& block, const BestWorkspace& work, const Request<Scalar>& asked,
    const Result<Scalar>& result, int64_t image) {
  const auto key_of = [&](uint32_t i) { return asked.key(image, i); };
  const uint32_t count = find_best(block, work, asked.size(), asked.limit, key_of);
  for (uint32_t k = block.rank(); k < asked.limit; k += block.size()) {
    if (k >= count) {
      write_padding(asked, result, image, k);
      continue;
    }
    const uint64_t entry = work.list[k];
    write_row(asked, result, image, k, entry_index(entry), ranked_score(entry_key(entry)));
  }
  if (block.rank() == 0) result.counts[image] = count;
}

}  // namespace harness::select_boxes
