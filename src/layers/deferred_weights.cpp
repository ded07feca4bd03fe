#include "layers/deferred_weights.h"

#include "layers/linear.h"
#include "layers/step_context.h"

namespace megalith {

void DeferredWeights::run(const StepContext& step) {
  StepContext at_once = step;
  at_once.deferred = nullptr;
  for (const Half& half : halves_) half.product->weight_gradient(at_once, half.dy, half.x);
  halves_.clear();
  arena_.release(0);
}

}  // namespace megalith
