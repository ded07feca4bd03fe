#include "app/training/memory_use.h"

#include <sys/resource.h>

namespace megalith::app {
namespace {

std::size_t most_resident_bytes() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace

std::vector<MemoryUse> memory_use(const Trainer& trainer, const NormMeter* norms) {
  const MicroBatchNeeds& needs = trainer.needs();
  std::vector<MemoryUse> list{
      {"parameters", needs.parameter_bytes, trainer.parameters().bytes()},
      {"activations", needs.stash_bytes, trainer.stash_arena().peak()},
      {"workspace", needs.workspace_bytes, trainer.workspace().peak()},
  };
  if (norms != nullptr) list.push_back({"norms", norms->bytes(), norms->bytes()});
  std::size_t predicted = 0;
  for (const MemoryUse& use : list) predicted += use.predicted;
  list.push_back({"resident", predicted, most_resident_bytes()});
  return list;
}

}  // namespace megalith::app
