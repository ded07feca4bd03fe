// What backward needs of one micro batch on one stage: a stack of activations.
#pragma once

#include <initializer_list>
#include <vector>

#include "core/arena.h"

namespace megalith {

// Memory belongs to the arena, which must outlive the stash. Used by one thread.
class Stash {
 public:
  // `depth`: most tensors held at once; reserved here so that a step does not allocate.
  Stash(Arena& arena, std::size_t depth) : arena_(arena) { tensors_.reserve(depth); }

  // Memory that stays until clear().
  Tensor allocate(DType dtype, std::initializer_list<std::int64_t> extents) {
    return arena_.allocate(dtype, extents);
  }
  void put(const Tensor& activation) { tensors_.push_back(activation); }
  // REQUIRES: takes mirror puts in reverse order, as backward mirrors forward.
  [[nodiscard]] Tensor take() {
    MEGALITH_CHECK(!tensors_.empty(), "the stash is empty");
    const Tensor tensor = tensors_.back();
    tensors_.pop_back();
    return tensor;
  }
  [[nodiscard]] bool empty() const { return tensors_.empty(); }
  void clear() {
    tensors_.clear();
    arena_.release(0);
  }

 private:
  Arena& arena_;
  std::vector<Tensor> tensors_;
};

}  // namespace megalith
