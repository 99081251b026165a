// The best of many candidates, found and sorted by one block: a radix select, then a sort of what it
// has chosen. For the bodies of CUDA kernels; see team.h.
//
// An entry holds a candidate's key in its upper half and, inverted, its index in the lower: no two
// are equal, so the choice and the order are the same whatever the order of the threads.
#pragma once

#include "ranking.h"
#include "team.h"

#include <cstdint>

namespace harness {

constexpr int kDigitBits = 8, kBins = 1 << kDigitBits, kDigits = 64 / kDigitBits;

HARNESS_HOST_DEVICE uint64_t make_entry(uint32_t key, uint32_t index) {
  return key ? uint64_t(key) << 32 | uint32_t(~index) : 0;
}
HARNESS_HOST_DEVICE uint32_t entry_key(uint64_t entry) {
  return static_cast<uint32_t>(entry >> 32);
}
HARNESS_HOST_DEVICE uint32_t entry_index(uint64_t entry) { return ~static_cast<uint32_t>(entry); }

// The sort works on a power of two.
HARNESS_HOST_DEVICE uint32_t padded_count(uint32_t count) {
  uint32_t padded = 2;
  while (padded < count) padded *= 2;
  return padded;
}

// Where a block works. `list` has room for `list_size` entries, padded_count(most that are chosen) or
// more, in shared memory or not; `keys` for those of all candidates, or is null: each pass then computes them again.
struct BestWorkspace {
  uint32_t* histograms;  // kDigits * kBins
  uint32_t* count;
  uint64_t* list;
  uint32_t* keys;
  uint32_t list_size;

  static constexpr int64_t kFixedBytes = (kDigits * kBins + 4) * sizeof(uint32_t);

  // Lays what there is room for into shared memory: the list, unless it is elsewhere, and the keys.
  HARNESS_HOST_DEVICE BestWorkspace(
      unsigned char* shared, uint32_t list_size, uint64_t* far_list, bool keeps_keys)
      : list_size(list_size) {
    histograms = reinterpret_cast<uint32_t*>(shared);
    count = histograms + kDigits * kBins;
    unsigned char* free = shared + kFixedBytes;
    list = far_list ? far_list : reinterpret_cast<uint64_t*>(free);
    if (!far_list) free += list_size * sizeof(uint64_t);
    keys = keeps_keys ? reinterpret_cast<uint32_t*>(free) : nullptr;
  }
};

// KeyOf is uint32_t(uint32_t index). The whole block, of whole warps, calls.
template <typename Block, typename KeyOf>
class BestOfBlock {
 public:
  HARNESS_DEVICE BestOfBlock(
      const Block& block, const BestWorkspace& work, uint32_t size, const KeyOf& key_of)
      : block_(block), work_(work), size_(size), key_of_(key_of) {}

  // Writes the best `limit` entries into the list, sorted, and returns how many there are.
  HARNESS_DEVICE uint32_t run(uint32_t limit) {
    if (limit == 0) return 0;
    for (int k = block_.rank(); k < kDigits * kBins; k += block_.size()) work_.histograms[k] = 0;
    if (block_.rank() == 0) *work_.count = 0;
    block_.sync();
    collect(find_bound(limit));
    block_.sync();
    const uint32_t count = *work_.count, padded = padded_count(count);  // may be a few too many
    for (uint32_t k = count + block_.rank(); k < padded; k += block_.size()) work_.list[k] = 0;
    block_.sync();
    sort(padded);
    return count < limit ? count : limit;
  }

 private:
  // One digit's bin, with how many entries of the same prefix lie above it and in it.
  struct Bin {
    uint32_t value, above, count;
  };

  HARNESS_DEVICE uint32_t key(uint32_t i) const { return work_.keys ? work_.keys[i] : key_of_(i); }
  HARNESS_DEVICE uint64_t entry(uint32_t i) const { return make_entry(key(i), i); }

  // The lowest entry that goes into the list: the lowest that is chosen, or one below it as soon as
  // the list has room for all from there on: looking at more digits costs more than sorting them.
  HARNESS_DEVICE uint64_t find_bound(uint32_t limit) const {
    count_first_digits();
    uint64_t prefix = 0;
    uint32_t room = work_.list_size;
    for (int digit = 0, shift = 64 - kDigitBits;; ++digit, shift -= kDigitBits) {
      if (digit > 0) count_digits(digit, shift, prefix);
      block_.sync();
      const Bin bin = find_bin(work_.histograms + digit * kBins, limit);
      if (bin.count == 0) return 1;  // there are fewer than are asked for
      limit -= bin.above;
      room -= bin.above;
      prefix = prefix << kDigitBits | bin.value;
      if (bin.count <= room) {  // the lowest bin also holds what is not an entry
        const uint64_t bound = prefix << shift;
        return bound ? bound : 1;
      }
    }
  }

  // Neighbouring bins go to neighbouring lanes one by one, and are 32 apart in memory.
  HARNESS_DEVICE uint32_t* place(int digit, uint32_t bin) const {
    return work_.histograms + digit * kBins + bin % (kBins / kWarp) * kWarp + bin / (kBins / kWarp);
  }

  // Scores crowd into few bins of the first digit, and one place takes one thread at a time. So the
  // lanes of a warp that share the bin of its first go there together, twice; the whole warp calls.
  HARNESS_DEVICE void count_together(int digit, uint32_t bin, bool counted) const {
    const auto warp = block_.warp();
    uint32_t left = warp.ballot(counted);
    for (int round = 0; round < 2 && left; ++round) {
      const int first = count_bits((left & (0u - left)) - 1u);
      const bool same = warp.shuffle(bin, first) == bin && counted;
      const uint32_t bits = warp.ballot(same);
      if (warp.lane() == first) {
        block_.add(place(digit, bin), static_cast<uint32_t>(count_bits(bits)));
      }
      counted = counted && !same;
      left &= ~bits;
    }
    if (counted) block_.add(place(digit, bin), 1u);
  }

  // f(index, value) for all candidates and for some indices beyond them, whose value is 0: get(index)
  // for several at a time, whose loads are then in flight together. The whole block calls, and f.
  template <typename Get, typename F>
  HARNESS_DEVICE void visit(const Get& get, const F& f) const {
    constexpr int kAtOnce = 4;
    const auto step = static_cast<uint32_t>(block_.size());
    for (uint32_t base = 0; base < size_; base += kAtOnce * step) {
      decltype(get(0u)) values[kAtOnce];
      HARNESS_UNROLL
      for (int j = 0; j < kAtOnce; ++j) {
        const uint32_t i = base + j * step + block_.rank();
        values[j] = i < size_ ? get(i) : 0;
      }
      HARNESS_UNROLL
      for (int j = 0; j < kAtOnce; ++j) f(base + j * step + block_.rank(), values[j]);
    }
  }

  HARNESS_DEVICE void count_first_digits() const {
    visit(key_of_, [&](uint32_t i, uint32_t key) {
      if (work_.keys && i < size_) work_.keys[i] = key;
      count_together(0, key >> (32 - kDigitBits), key != 0);
    });
  }

  // Those of the key in half the bits; those of the index only where many keys are equal.
  HARNESS_DEVICE void count_digits(int digit, int shift, uint64_t prefix) const {
    if (shift >= 32) {
      const auto wanted = static_cast<uint32_t>(prefix);
      visit([&](uint32_t i) { return key(i); }, [&](uint32_t, uint32_t key) {
        const uint32_t lowest = key >> (shift - 32);
        if (key && lowest >> kDigitBits == wanted) block_.add(place(digit, lowest % kBins), 1u);
      });
      return;
    }
    visit([&](uint32_t i) { return entry(i); }, [&](uint32_t, uint64_t value) {
      if (value && value >> shift >> kDigitBits == prefix) {
        block_.add(place(digit, static_cast<uint32_t>(value >> shift) % kBins), 1u);
      }
    });
  }

  // The bin that holds the `wanted`-th entry from above; every warp finds it by itself.
  HARNESS_DEVICE Bin find_bin(const uint32_t* histogram, uint32_t wanted) const {
    constexpr int kOwn = kBins / kWarp;
    const auto warp = block_.warp();
    uint32_t own = 0;
    for (int j = 0; j < kOwn; ++j) own += histogram[j * kWarp + warp.lane()];
    uint32_t above = 0, total = own;
    for (int mask = 1; mask < kWarp; mask *= 2) {
      const uint32_t other = warp.shuffle_xor(total, mask);
      if (!(warp.lane() & mask)) above += other;
      total += other;
    }
    Bin bin{0, above, 0};
    const uint32_t bits = warp.ballot(above < wanted && wanted <= above + own);
    if (bits == 0) return bin;
    for (int j = kOwn - 1; j >= 0; --j) {
      bin.count = histogram[j * kWarp + warp.lane()];
      bin.value = static_cast<uint32_t>(warp.lane() * kOwn + j);
      if (wanted <= bin.above + bin.count) break;
      bin.above += bin.count;
    }
    const int lane = count_bits((bits & (0u - bits)) - 1u);
    return {
        warp.shuffle(bin.value, lane), warp.shuffle(bin.above, lane),
        warp.shuffle(bin.count, lane)};
  }

  // In any order: the sort makes one.
  HARNESS_DEVICE void collect(uint64_t bound) const {
    const auto warp = block_.warp();
    visit([&](uint32_t i) { return entry(i); }, [&](uint32_t, uint64_t value) {
      const bool chosen = value >= bound;
      const uint32_t bits = warp.ballot(chosen);
      if (bits == 0) return;
      uint32_t first = 0;
      if (warp.lane() == 0) {
        first = block_.fetch_add(work_.count, static_cast<uint32_t>(count_bits(bits)));
      }
      first = warp.shuffle(first, 0);
      if (chosen) work_.list[first + count_bits(bits & bits_below(warp.lane()))] = value;
    });
  }

  // Bitonic, the highest first. As long as partners are less than a warp's share apart the warp has
  // them to itself, and waits for no other.
  HARNESS_DEVICE void sort(uint32_t padded) const {
    for (uint32_t width = 2; width <= padded; width *= 2) {
      for (uint32_t stride = width / 2; stride > 0; stride /= 2) {
        for (uint32_t pair = block_.rank(); pair < padded / 2; pair += block_.size()) {
          order(2 * pair - (pair & (stride - 1)), stride, width);
        }
        const uint32_t next = stride > 1 ? stride / 2 : width;
        if (stride > kWarp || next > kWarp) block_.sync();
        else block_.warp().sync();
      }
    }
    block_.sync();
  }

  HARNESS_DEVICE void order(uint32_t low, uint32_t stride, uint32_t width) const {
    const uint64_t first = work_.list[low], second = work_.list[low + stride];
    if ((first < second) == ((low & width) == 0)) {
      work_.list[low] = second;
      work_.list[low + stride] = first;
    }
  }

  const Block& block_;
  const BestWorkspace& work_;
  const uint32_t size_;
  const KeyOf& key_of_;
};

template <typename Block, typename KeyOf>
HARNESS_DEVICE uint32_t find_best(
    const Block& block, const BestWorkspace& work, uint32_t size, uint32_t limit,
    const KeyOf& key_of) {
  return BestOfBlock<Block, KeyOf>(block, work, size, key_of).run(limit);
}

}  // namespace harness
