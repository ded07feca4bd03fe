// Two data ranks with one thread each against one rank with two, on the same global batch: tokens per second
// of whole steps with every ZeRO stage, the share of the time in which a rank waits for the other, and the
// share of operations' time that passes beside its work. Ranks are threads of this process.
//   bench_data_parallel [--rounds N] [--json]

#include <array>
#include <memory>
#include <vector>

#include "comm/exchange.h"
#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "harness.h"
#include "operation_times.h"
#include "train/trainer.h"

namespace megalith {
namespace {

constexpr std::int64_t kSequences = 16, kSequence = 256, kMicro = 2;
constexpr int kStages = 4;  // ZeRO 0 to 3

TrainConfig config_of(std::int64_t data, std::int64_t zero) {
  TrainConfig config;
  config.model.layers = 6;
  config.model.hidden = 384;
  config.model.heads = 6;
  config.model.sequence = kSequence;
  config.model.vocabulary = 4096;
  config.batch = {.global = kSequences, .micro = kMicro, .sequence = kSequence};
  config.parallel.data = data;
  config.parallel.zero = zero;
  resolve(config);
  return config;
}

// One trainer among two ranks, with what it says seen.
struct Shared {
  Shared(const TrainConfig& config, const Dataset& data, Communicator& ranks, cpu::Isa isa)
      : seen(observe(ranks, times)),
        mesh(Layout{.data = ranks.size()}, *seen),
        device(cpu::make_device(1, isa)),
        trainer(config, *device, data, mesh) {}
  void step() {
    const double begin = bench::seconds_now();
    trainer.run_step(next++);
    seconds += bench::seconds_now() - begin;
  }
  bench::OperationTimes times;
  std::unique_ptr<Communicator> seen;
  Mesh mesh;
  std::unique_ptr<Device> device;
  Trainer trainer;
  std::int64_t next = 0;
  double seconds = 0;
};

// The first rank times; the other follows what it is told until it is told to leave.
constexpr std::int64_t kLeave = -1;

void lead(const bench::Options& options, bench::Report& report, Communicator& world, const Dataset& data,
          std::vector<std::unique_ptr<Shared>>& stages, cpu::Isa isa) {
  const std::unique_ptr<Device> device = cpu::make_device(2, isa);
  Trainer alone(config_of(1, 0), *device, data);
  std::int64_t next = 0;
  const auto tokens = static_cast<double>(kSequences * kSequence);
  std::vector<bench::Candidate> candidates{{"1 rank, 2 threads", tokens, [&] { alone.run_step(next++); }}};
  for (int zero = 0; zero < kStages; ++zero) {
    candidates.push_back({fmt::format("2 data ranks, 1 thread each, ZeRO {}", zero), tokens, [&, zero] {
                            number_from(world, zero);
                            stages[static_cast<std::size_t>(zero)]->step();
                          }});
  }
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options.rounds);
  number_from(world, kLeave);
  const double reference = tokens / timings[0].best_seconds;
  for (std::size_t i = 0; i < timings.size(); ++i) {
    report.add(candidates[i].name, tokens / timings[i].best_seconds, "tokens/s", i == 0 ? 0 : reference,
               timings[i].median_seconds / timings[i].best_seconds);
  }
  for (int zero = 0; zero < kStages; ++zero) {
    const Shared& shared = *stages[static_cast<std::size_t>(zero)];
    report.add(fmt::format("ZeRO {}: waiting, of a step", zero), shared.times.waited / shared.seconds * 100,
               "%", 100, 1);
    report.add(fmt::format("ZeRO {}: beside work, of operations' time", zero),
               (1 - shared.times.waited / shared.times.under_way) * 100, "%", 100, 1);
  }
}

void measure(const bench::Options& options, bench::Report& report, cpu::Isa isa) {
  const std::unique_ptr<Dataset> data = make_synthetic_dataset(4096, kSequence, 1, false);
  run_ranks(2, [&](Communicator& world) {
    set_floating_point_mode();
    std::vector<std::unique_ptr<Shared>> stages;
    for (int zero = 0; zero < kStages; ++zero)
      stages.push_back(std::make_unique<Shared>(config_of(2, zero), *data, world, isa));
    if (world.rank() == 0) return lead(options, report, world, *data, stages, isa);
    for (std::int64_t zero = 0; (zero = number_from(world, 0)) != kLeave;)
      stages[static_cast<std::size_t>(zero)]->step();
  });
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, fmt::format("Data parallel on two processors, {} kernels", name_of(isa)));
  measure(options, report, isa);
}
