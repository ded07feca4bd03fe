// Weight halves of a backward pass that wait. The gradient of a product splits in two: that of its input,
// which the stage before is waiting for, and that of its weight, which nobody waits for before the step's
// end. A zero-bubble schedule does the second half where a rank would stand idle (Qi et al., arXiv
// 2401.10241).
#pragma once

#include <cstddef>
#include <vector>

#include "core/arena.h"
#include "core/tensor.h"

namespace megalith {

class Linear;
struct StepContext;

// Of one micro batch on one stage. Used by one thread.
class DeferredWeights {
 public:
  // `depth`: most products held at once; reserved here so that a step does not allocate. The arena is for
  // operands that would not live until run() otherwise; it must outlive this and is emptied by run().
  DeferredWeights(Arena& arena, std::size_t depth) : arena_(arena) {
    halves_.reserve(depth);
    units_.reserve(depth);
  }

  // dy and x stay as they are until run().
  void add(const Linear& product, const Tensor& dy, const Tensor& x) { halves_.push_back({&product, dy, x}); }
  // All halves of a unit's products (layers/unit_gate.h) were added.
  void end_unit(int unit) { units_.push_back({unit, halves_.size()}); }
  // Adds to the weights' gradients what the products would have added at once, in the same order.
  void run(const StepContext& step);

  [[nodiscard]] Arena& arena() { return arena_; }
  [[nodiscard]] bool empty() const { return halves_.empty(); }

 private:
  struct Half {
    const Linear* product;
    Tensor dy, x;
  };
  struct Unit {
    int unit;
    std::size_t end;  // of its halves
  };
  Arena& arena_;
  std::vector<Half> halves_;
  std::vector<Unit> units_;
};

}  // namespace megalith
