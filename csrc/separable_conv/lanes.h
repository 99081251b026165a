// What one instruction set makes of a tile. Included once for each, with HARNESS_ISA as the name of
// its namespace and HARNESS_BYTES as the size of its registers; hence no include guard, and nothing
// that would differ between the inclusions is defined outside of that namespace.

namespace harness::separable::HARNESS_ISA {

template <typename T>
struct Lanes {
  static constexpr int64_t kCount = HARNESS_BYTES / sizeof(T);
  typedef T Vector __attribute__((vector_size(HARNESS_BYTES)));

  static Vector load(const T* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  template <typename Scalar>
  static Vector load(const Scalar* from) {
    Vector v;
    for (int64_t k = 0; k < kCount; ++k) v[k] = static_cast<T>(from[k]);
    return v;
  }
  static void store(T* to, Vector v) { __builtin_memcpy(to, &v, sizeof v); }
  template <typename Scalar>
  static void store(Scalar* to, Vector v) {
    for (int64_t k = 0; k < kCount; ++k) to[k] = static_cast<Scalar>(v[k]);
  }
};

constexpr int kCells = 4;  // whose sums are in registers at once

// Sums of `kCells` cells of one row; with kInside none of them is at the map's left or right edge.
template <bool kInside, typename Scalar, typename T>
inline void convolve_cells(
    const Map<Scalar, T>& map, const Scalar* image, int64_t channels, int64_t c, int64_t y,
    int64_t x, int64_t size, T* middle) {
  using L = Lanes<T>;
  typename L::Vector sums[kCells];
  for (auto& sum : sums) sum = L::load(map.depthwise_bias + c);
  for (int dy = 0; dy < 3; ++dy) {
    const int64_t row = y + dy - 1;
    if (row < 0 || row >= map.height) continue;
    const Scalar* line = image + row * map.row_stride + c;
    for (int dx = 0; dx < 3; ++dx) {
      const auto weight = L::load(map.depthwise + (3 * dy + dx) * channels + c);
      for (int k = 0; k < kCells; ++k) {
        const int64_t column = x + k + dx - 1;
        if (kInside || (column >= 0 && column < map.width)) {
          sums[k] += weight * L::load(line + column * map.column_stride);
        }
      }
    }
  }
  for (int k = 0; k < kCells; ++k) {
    if (!kInside && k == size) break;
    L::store(middle + k * channels, sums[k]);
  }
}

// The depthwise convolution of a tile: (size, channels).
template <typename Scalar, typename T>
void convolve_depthwise(const Map<Scalar, T>& map, const Tile& tile, int64_t channels, T* middle) {
  const Scalar* image = map.data + tile.image * map.image_stride;
  const int64_t last = channels - Lanes<T>::kCount;
  for (int64_t p = 0; p < tile.size;) {
    const int64_t y = (tile.first + p) / map.width, x = (tile.first + p) % map.width;
    int64_t size = map.width - x < tile.size - p ? map.width - x : tile.size - p;
    if (size > kCells) size = kCells;
    const bool inside = size == kCells && x > 0 && x + kCells < map.width;
    T* place = middle + p * channels;
    for (int64_t c = 0;; c += Lanes<T>::kCount) {
      if (c > last) c = last;  // overlaps what is there already
      if (inside) {
        convolve_cells<true>(map, image, channels, c, y, x, size, place + c);
      } else {
        convolve_cells<false>(map, image, channels, c, y, x, size, place + c);
      }
      if (c == last) break;
    }
    p += size;
  }
}

// `kVectors` vectors of output channels of some cells: products of a block with its inputs.
template <int kVectors, typename Scalar, typename T>
inline void multiply_cells(
    const T* inputs, int64_t channels, const T* weights, int64_t width, const T* bias, bool relu,
    int64_t size, Scalar* rows, int64_t out_channels) {
  using L = Lanes<T>;
  typename L::Vector sums[kCells][kVectors];
  for (auto& cell : sums)
    for (int v = 0; v < kVectors; ++v) cell[v] = L::load(bias + v * L::kCount);
  for (int64_t i = 0; i < width; ++i) {
    typename L::Vector weight[kVectors];
    for (int v = 0; v < kVectors; ++v) weight[v] = L::load(weights + i * width + v * L::kCount);
    for (int k = 0; k < kCells; ++k) {
      const T input = inputs[k * channels + i];
      for (int v = 0; v < kVectors; ++v) sums[k][v] += weight[v] * input;
    }
  }
  const typename L::Vector zeros{};
  for (int k = 0; k < kCells; ++k) {
    if (k == size) break;  // a bound known to the compiler keeps the sums in registers
    for (int v = 0; v < kVectors; ++v) {
      // NaN stays NaN, as in torch
      const auto value = relu ? (sums[k][v] < zeros ? zeros : sums[k][v]) : sums[k][v];
      L::store(rows + k * out_channels + v * L::kCount, value);
    }
  }
}

// The pointwise convolution of a tile; `middle` has room for kTile cells.
template <typename Scalar, typename T>
void multiply_pointwise(
    const Map<Scalar, T>& map, const Tile& tile, const Job<Scalar, T>& job, const T* middle,
    Scalar* rows) {
  const int64_t width = map.block_width, last = width - Lanes<T>::kCount;
  for (int64_t b = 0; b < map.blocks; ++b) {
    const int64_t start = map.block_start(b, job.channels);
    const T* weights = map.pointwise + b * width * width;
    for (int64_t o = 0;;) {
      const bool two = o + Lanes<T>::kCount <= last;
      for (int64_t p = 0; p < tile.size; p += kCells) {
        const int64_t size = tile.size - p < kCells ? tile.size - p : kCells;
        const auto multiply =
            two ? multiply_cells<2, Scalar, T> : multiply_cells<1, Scalar, T>;
        multiply(
            middle + p * job.channels + start, job.channels, weights + o, width,
            map.pointwise_bias + start + o, job.relu, size,
            rows + p * job.out_channels + start + o, job.out_channels);
      }
      const int64_t done = o + (two ? 2 : 1) * Lanes<T>::kCount;
      if (done >= width) break;
      o = done > last ? last : done;
    }
  }
}

template <typename Scalar, typename T>
void convolve_tile(const Job<Scalar, T>& job, const Tile& tile, T* middle, Scalar* output) {
  const Map<Scalar, T>& map = job.maps[tile.map];
  Scalar* rows =
      output + (tile.image * job.cells + map.first_cell + tile.first) * job.out_channels;
  convolve_depthwise(map, tile, job.channels, middle);
  multiply_pointwise(map, tile, job, middle, rows);
  for (int64_t p = 0; p < tile.size; ++p)
    for (int64_t c = job.channels; c < job.out_channels; ++c)
      rows[p * job.out_channels + c] = Scalar(T(0));
}

}  // namespace harness::separable::HARNESS_ISA
