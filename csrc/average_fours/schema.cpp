#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY_FRAGMENT(harness, m) {
  m.def("average_fours(Tensor maps, bool framed) -> Tensor");
}
