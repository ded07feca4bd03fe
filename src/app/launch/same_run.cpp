#include "app/launch/same_run.h"

#include <string>

#include "app/build_facts.h"
#include "app/launch/launch.h"
#include "core/digest.h"
#include "train/batch_buffers.h"

namespace megalith::app {
namespace {

void require_same_text(Communicator& world, const std::string& text, const char* what) {
  require_same(world, digest_bytes(text.data(), text.size()), what);
}

}  // namespace

void require_one_build(Communicator& world) {
  require_same_text(world, build_facts().version + build_facts().commit, "build of megalith");
}

void require_one_config(Communicator& world, const TrainConfig& config) {
  require_same_text(world, to_toml(config), "config");
}

void require_one_text(Communicator& world, const Dataset& train, std::int64_t sequence) {
  BatchBuffers buffers(1, sequence);
  auto digest = static_cast<std::uint64_t>(train.samples_per_epoch());
  for (const std::int64_t sample : {std::int64_t{0}, train.samples_per_epoch() - 1}) {
    buffers.fill(train, sample, 1);
    digest = digest * 31 + buffers.digest(1);
  }
  require_same(world, digest, "training text");
}

void require_one_run(Communicator& world, const RunDirectory& run) {
  require_same_text(world, run.facts().created, "run directory");
}

}  // namespace megalith::app
