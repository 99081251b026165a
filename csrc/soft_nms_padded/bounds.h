// Numbers that only fall, and the first of the greatest of them at any time. A block of neighbours
// has its greatest noted, so neither a change nor a search looks at all numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace harness::soft_nms {

template <typename T>
class Bounds {
 public:
  // Starts again with `size` numbers of 0 or more, at(i) each.
  template <typename F>
  void assign(int64_t size, const F& at) {
    maxima_.assign((size + kBlock - 1) / kBlock, T(0));
    values_.assign(maxima_.size() * kBlock, T(0));
    for (int64_t i = 0; i < size; ++i) values_[i] = at(i);
    for (size_t block = 0; block < maxima_.size(); ++block) update(block);
  }

  T operator[](int64_t i) const { return values_[i]; }

  void lower(int64_t i, T value) {
    values_[i] = value;
    update(i / kBlock);
  }

  // -1 where all are 0.
  int64_t find_greatest() const {
    const auto block = std::max_element(maxima_.begin(), maxima_.end());
    if (block == maxima_.end() || !(*block > T(0))) return -1;
    int64_t i = (block - maxima_.begin()) * kBlock;
    while (values_[i] != *block) ++i;
    return i;
  }

 private:
  static constexpr int64_t kBlock = 16, kLanes = 4;

  // Maxima of interleaved lanes first, since those vectorise.
  void update(int64_t block) {
    const T* values = values_.data() + block * kBlock;
    T lanes[kLanes] = {};
    for (int64_t i = 0; i < kBlock; i += kLanes)
      for (int64_t k = 0; k < kLanes; ++k) lanes[k] = std::max(lanes[k], values[i + k]);
    maxima_[block] = std::max(std::max(lanes[0], lanes[1]), std::max(lanes[2], lanes[3]));
  }

  std::vector<T> values_, maxima_;
};

}  // namespace harness::soft_nms
