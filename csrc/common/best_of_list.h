// The best of many candidates on a CPU: a radix select, then a radix sort of what it has chosen.
#pragma once

#include "ranking.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace harness {

class BestOfList {
 public:
  struct Entry {
    uint32_t key, index;

    float score() const { return ranked_score(key); }
  };

  // Empties the list and makes room for so many candidates.
  void start(int64_t most) {
    if (static_cast<int64_t>(entries_.size()) < most) entries_.resize(most);
    size_ = 0;
  }

  // In ascending order of the index. Without a branch: scores come in any order.
  void push(uint32_t key, uint32_t index) {
    entries_[size_] = {key, index};
    size_ += key != 0;
  }

  // Keeps the best `limit`, sorted.
  void keep_best(int64_t limit) {
    if (size_ > limit) select(limit);
    sort();
  }

  int64_t size() const { return size_; }
  const Entry& operator[](int64_t i) const { return entries_[i]; }

 private:
  static constexpr int kTopBits = 12, kBits = 8, kBins = 1 << kBits;

  // Leaves the best `limit`, in the order in which they came.
  void select(int64_t limit) {
    if (limit == 0) {
      size_ = 0;
      return;
    }
    int64_t equal = limit;  // of those with the lowest key, so many are kept
    const uint32_t lowest = find_lowest(equal);
    int64_t kept = 0;
    for (int64_t i = 0; i < size_; ++i) {
      const Entry entry = entries_[i];
      entries_[kept] = entry;
      const bool chosen = (entry.key > lowest) | ((entry.key == lowest) & (equal > 0));
      equal -= entry.key == lowest;
      kept += chosen;
    }
    size_ = kept;
  }

  // The `wanted`-th key from above; `wanted` becomes its rank among its equals.
  uint32_t find_lowest(int64_t& wanted) {
    counts_.assign(size_t(1) << kTopBits, 0);
    for (int64_t i = 0; i < size_; ++i) ++counts_[entries_[i].key >> (32 - kTopBits)];
    uint32_t bin = (1u << kTopBits) - 1;
    for (; wanted > counts_[bin]; --bin) wanted -= counts_[bin];
    keys_.resize(size_);
    int64_t count = 0;
    for (int64_t i = 0; i < size_; ++i) {
      const uint32_t key = entries_[i].key;
      keys_[count] = key;
      count += key >> (32 - kTopBits) == bin;
    }
    const auto place = keys_.begin() + (wanted - 1);
    std::nth_element(keys_.begin(), place, keys_.begin() + count, std::greater<>());
    const uint32_t lowest = *place;
    wanted -= std::count_if(keys_.begin(), place, [&](uint32_t key) { return key > lowest; });
    return lowest;
  }

  // Digit by digit from the last, each time stable, so that equals stay in order.
  void sort() {
    sorted_.resize(std::max<size_t>(sorted_.size(), size_));
    for (int shift = 0; shift < 32; shift += kBits) {
      int64_t places[kBins] = {};
      const auto bin = [&](const Entry& entry) { return kBins - 1 - (entry.key >> shift) % kBins; };
      for (int64_t i = 0; i < size_; ++i) ++places[bin(entries_[i])];
      if (size_ > 0 && places[bin(entries_[0])] == size_) continue;
      int64_t next = 0;
      for (int64_t& place : places) {
        const int64_t count = place;
        place = next;
        next += count;
      }
      for (int64_t i = 0; i < size_; ++i) sorted_[places[bin(entries_[i])]++] = entries_[i];
      entries_.swap(sorted_);
    }
  }

  std::vector<Entry> entries_, sorted_;
  std::vector<uint32_t> counts_, keys_;
  int64_t size_ = 0;
};

}  // namespace harness
