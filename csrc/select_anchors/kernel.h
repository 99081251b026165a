// The body of the CUDA kernel: one block finds the best anchors of one level of one image, and decodes
// them.
#pragma once

#include "../common/best_of_block.h"
#include "select_anchors.h"

namespace harness::select_anchors {

template <typename Block, typename Scalar>
HARNESS_DEVICE void select_of_level(
    const Block& block, const BestWorkspace& work, const Request<Scalar>& asked,
    const Result& result, int64_t image, int64_t level) {
  const Maps<Scalar>& maps = asked.levels[level];
  const auto key_of = [&](uint32_t i) { return ranking_key(maps.logit(image, i)); };
  const uint32_t count = find_best(block, work, maps.size, asked.limit, key_of);
  for (uint32_t k = block.rank(); k < asked.width; k += block.size()) {
    if (k >= count) {
      write_padding(asked, result, image, level, k);
      continue;
    }
    const uint64_t entry = work.list[k];
    write_row(
        asked, result, image, level, k, entry_index(entry), ranked_score(entry_key(entry)));
  }
  if (block.rank() == 0) result.counts[image * asked.count + level] = count;
}

}  // namespace harness::select_anchors
