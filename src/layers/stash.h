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
  Stash(Arena& arena, std::size_t depth) : arena_(arena), memory_(&arena) { tensors_.reserve(depth); }

  // Memory that stays until clear(). Layers allocate here only while none of their own scopes is open on the
  // workspace, which may be where the memory is (Elsewhere).
  Tensor allocate(DType dtype, std::initializer_list<std::int64_t> extents) {
    return memory_->allocate(dtype, extents);
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

  // While it lives, what is put is for the moment: it lies in `memory`, and what of it was not taken is
  // forgotten at the end. For a forward pass that backward runs again.
  class Elsewhere {
   public:
    Elsewhere(Stash& stash, Arena& memory) : stash_(stash), depth_(stash.tensors_.size()) {
      stash_.memory_ = &memory;
    }
    ~Elsewhere() {
      stash_.tensors_.resize(depth_);
      stash_.memory_ = &stash_.arena_;
    }
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;

   private:
    Stash& stash_;
    std::size_t depth_;
  };

 private:
  Arena& arena_;
  Arena* memory_;  // where allocate() takes from: the arena, or elsewhere
  std::vector<Tensor> tensors_;
};

}  // namespace megalith
