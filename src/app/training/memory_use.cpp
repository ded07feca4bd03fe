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

void require_memory(const TrainConfig& config, const Layout& layout, int ranks) {
  struct sysinfo machine {};
  if (::sysinfo(&machine) != 0) return;
  const double has = (static_cast<double>(machine.totalram) + static_cast<double>(machine.totalswap)) *
                     static_cast<double>(machine.mem_unit);
  const double wanted = ranks * static_cast<double>(measure_rank(config, Mesh::simulated(layout, 0)).bytes());
  if (wanted <= has) return;
  throw WorldFailed(
      fmt::format("out of memory: the run needs {:.1f} GiB, and this machine has {:.1f}. Try a smaller "
                  "batch.micro or model; "
                  "--dry-run tells what takes how much.",
                  wanted * 0x1p-30, has * 0x1p-30));
}

std::vector<MemoryUse> memory_use(const Trainer& trainer, const NormMeter* norms) {
  const RankNeeds& needs = trainer.needs();
  const RankNeeds used = trainer.used();
  std::vector<MemoryUse> list{
      {"parameters", needs.parameter_bytes, trainer.parameters().bytes()},
      {"activations", needs.activation_bytes(), used.activation_bytes()},
      {"workspace", needs.workspace_bytes(), used.workspace_bytes()},
  };
  if (norms != nullptr) list.push_back({"norms", norms->bytes(), norms->bytes()});
  std::size_t predicted = 0;
  for (const MemoryUse& use : list) predicted += use.predicted;
  list.push_back({"resident", predicted, most_resident_bytes()});
  return list;
}

}  // namespace megalith::app
