// A depthwise 3x3 convolution and a grouped 1x1 convolution of several maps, whose cells are counted
// over all maps of an image, row by row.
#pragma once

#include "../common/host_device.h"

#include <cstdint>

namespace harness::separable {

constexpr int kMaps = 8;
constexpr int kTaps = 9;
constexpr int kTile = 16;  // cells that are worked on at once, where there are enough of them

// One map with its weights. Strides of the map are those of images, rows and columns: channels lie
// side by side. `pointwise` holds blocks of (width, width), input by output channel.
template <typename Scalar, typename T>
struct Map {
  const Scalar* data;
  int64_t image_stride, row_stride, column_stride;
  int64_t height, width, first_cell;
  const T *depthwise, *depthwise_bias, *pointwise, *pointwise_bias;
  int64_t blocks, block_width;

  HARNESS_HOST_DEVICE int64_t cells() const { return height * width; }
  HARNESS_HOST_DEVICE int64_t tiles(int64_t tile = kTile) const {
    return (cells() + tile - 1) / tile;
  }

  // Groups divide the channels, blocks need not: the last one then overlaps the one before.
  HARNESS_HOST_DEVICE int64_t block_start(int64_t block, int64_t channels) const {
    const int64_t start = block * block_width, last = channels - block_width;
    return start < last ? start : last;
  }
};

template <typename Scalar, typename T>
struct Job {
  Map<Scalar, T> maps[kMaps];
  int64_t count, images, channels, out_channels, cells;  // `cells` of all maps of an image
  bool relu;

  // Of `tile` cells each, per image.
  HARNESS_HOST_DEVICE int64_t tiles(int64_t tile = kTile) const {
    int64_t total = 0;
    for (int64_t k = 0; k < count; ++k) total += maps[k].tiles(tile);
    return total;
  }
};

// Some neighbouring cells of one map.
struct Tile {
  int64_t image, map, first, size;
};

// Tile `number` of all images: those of the first image's maps come first. A grid has fewer blocks
// than 32 bits count.
template <int kCells = kTile, typename Scalar, typename T>
HARNESS_HOST_DEVICE Tile find_tile(const Job<Scalar, T>& job, int64_t number) {
  const auto per_image = static_cast<uint32_t>(job.tiles(kCells));
  Tile tile{static_cast<uint32_t>(number) / per_image, 0, 0, 0};
  int64_t rest = static_cast<uint32_t>(number) % per_image;
  while (rest >= job.maps[tile.map].tiles(kCells)) rest -= job.maps[tile.map++].tiles(kCells);
  tile.first = rest * kCells;
  const int64_t left = job.maps[tile.map].cells() - tile.first;
  tile.size = left < kCells ? left : kCells;
  return tile;
}

}  // namespace harness::separable
