#include "layers/deferred_weights.h"

#include "layers/linear.h"
#include "layers/step_context.h"

namespace megalith {

void DeferredWeights::run(const StepContext& step) {
  StepContext at_once = step;
  at_once.deferred = nullptr;
  std::size_t next = 0;
  for (const Unit& unit : units_) {
    UnitGradients gradients(step.units, unit.unit);
    for (; next < unit.end; ++next)
      halves_[next].product->weight_gradient(at_once, halves_[next].dy, halves_[next].x);
    gradients.added();
  }
  MEGALITH_CHECK(next == halves_.size(), "weight halves of no unit");
  halves_.clear();
  units_.clear();
  arena_.release(0);
}

}  // namespace megalith
