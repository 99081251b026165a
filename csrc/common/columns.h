// Boxes of one group, coordinate by coordinate, so that the compiler vectorises the inner loops.
#pragma once

#include "boxes.h"

#include <cstdint>
#include <vector>

namespace harness {

template <typename T>
struct Columns {
  std::vector<T> x1, y1, x2, y2, areas;
  std::vector<int64_t> source;  // position in the padded group

  void clear() {
    for (auto* column : {&x1, &y1, &x2, &y2, &areas}) column->clear();
    source.clear();
  }
  int64_t size() const { return static_cast<int64_t>(source.size()); }

  Box<T> box(int64_t i) const { return {x1[i], y1[i], x2[i], y2[i]}; }

  void push(const Box<T>& box, int64_t position) {
    x1.push_back(box.x1);
    y1.push_back(box.y1);
    x2.push_back(box.x2);
    y2.push_back(box.y2);
    areas.push_back(area(box));
    source.push_back(position);
  }

  void move(int64_t from, int64_t to) {
    for (auto* column : {&x1, &y1, &x2, &y2, &areas}) (*column)[to] = (*column)[from];
    source[to] = source[from];
  }
};

}  // namespace harness
