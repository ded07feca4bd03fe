#include "app/training/memory_use.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

namespace megalith::app {
namespace {

std::size_t most_resident_bytes() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace

void require_memory(const TrainConfig& config) {
  struct sysinfo machine {};
  if (::sysinfo(&machine) != 0) return;
  const double has = (static_cast<double>(machine.totalram) + static_cast<double>(machine.totalswap)) *
                     static_cast<double>(machine.mem_unit);
  const MicroBatchNeeds needs =
      measure_micro_batch(config.model, config.numerics, config.batch.micro, config.batch.sequence);
  const double wanted = static_cast<double>(needs.parameter_bytes) + static_cast<double>(needs.stash_bytes) +
                        static_cast<double>(needs.workspace_bytes);
  if (wanted <= has) return;
  throw WorldFailed(
      fmt::format("out of memory: the run needs {:.1f} GiB, and this machine has {:.1f}. Try a smaller "
                  "batch.micro or model; "
                  "--dry-run tells what takes how much.",
                  wanted * 0x1p-30, has * 0x1p-30));
}

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
