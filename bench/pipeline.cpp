// A pipeline of two stages with one thread each against one rank with two, on the same global batch: tokens
// per second by schedule, the share of a rank's time in which it waits for the other, and what of that the
// schedule's own bubble explains. Ranks are threads of this process; stages have equal work.
//   bench_pipeline [--rounds N] [--json] [schedule ...]

#include <algorithm>
#include <deque>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "model_shapes.h"
#include "open_device.h"
#include "operation_times.h"
#include "pipeline/engine.h"
#include "pipeline/schedule_drawing.h"
#include "random_tokens.h"

namespace megalith {
namespace {

// Seven layers and a head that costs about one: four layers on one stage, three and the head on the other.
constexpr bench::ModelShape kShape{"7 layers", 7, 384, 6, 4096};
constexpr std::int64_t kSequences = 16, kSequence = 256, kMicro = 2;

// A global batch, micro batch by micro batch.
class Batches final : public PipelineClient {
 public:
  explicit Batches(std::int64_t micro) : micro_(micro), tokens_(kSequences, kSequence, kShape.vocabulary) {}
  const MicroBatch& fill(std::int64_t index, int buffer) override {
    const auto slot = static_cast<std::size_t>(buffer);
    if (slot >= batches_.size()) batches_.resize(slot + 1);
    return batches_[slot] = tokens_.micro_batch(index * micro_, micro_);
  }

 private:
  std::int64_t micro_;
  bench::RandomTokens tokens_;
  std::deque<MicroBatch> batches_;
};

PipelineConfig config_of(ScheduleKind schedule, int stages, std::int64_t micro) {
  const TrainConfig training = bench::training_of(kShape, kSequences, kSequence, micro);
  PipelineConfig config{
      .model = training.model, .numerics = training.numerics, .schedule = schedule, .stages = stages};
  config.layers = {7};
  if (stages == 2) config.layers = {4, 3};
  if (schedule == ScheduleKind::interleaved) {
    config.chunks = 2;
    config.layers = {2, 2, 2, 1};
  }
  config.sequences = micro;
  config.sequence = kSequence;
  config.max_micro_batches = static_cast<int>(kSequences / micro);
  return config;
}

struct Round {
  double seconds = 0;  // of a global batch
  double waiting = 0;  // share, of all ranks
};

// The second of two global batches.
Round measure(const PipelineConfig& config) {
  Round measured;
  std::vector<double> waited(static_cast<std::size_t>(config.stages));
  run_ranks(config.stages, [&](Communicator& world) {
    set_floating_point_mode();
    bench::OperationTimes times;
    const std::unique_ptr<Communicator> observed = observe(world, times);
    const Mesh mesh({.pipeline = config.stages}, *observed);
    const std::unique_ptr<Device> device = bench::open_device(2 / config.stages);
    Parameters parameters(
        Transformer::specs(config.model, config.numerics, parts_of_stage(config, mesh.place().pipeline)),
        config.numerics.compute, Parameters::Use::training);
    parameters.initialise(1);
    parameters.refresh_working(*device);
    PipelineEngine engine(config, mesh, *device, parameters, measure_pipeline(config, mesh));
    Batches batches(config.sequences);
    Verdict verdict;
    LossTotals totals;
    std::int64_t nothing[] = {0};
    const auto together = [&] { world.wait(world.all_reduce(nothing, IntegerReduction::sum)); };
    double begin = 0;
    for (int batch = 0; batch < 2; ++batch) {
      together();
      times.waited = 0;
      begin = bench::seconds_now();
      engine.run({.device = *device,
                  .profile = config.numerics,
                  .workspace = engine.workspace(),
                  .batch = {},
                  .training = true,
                  .gradient_shift = gradient_shift(config.numerics.batch_tokens_max),
                  .verdict = &verdict},
                 batches, config.max_micro_batches, totals);
      waited[static_cast<std::size_t>(world.rank())] = times.waited;
      together();
    }
    if (world.rank() == 0) measured.seconds = bench::seconds_now() - begin;
  });
  for (const double rank : waited) measured.waiting += rank / measured.seconds / config.stages;
  return measured;
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, fmt::format("Pipeline on two processors, {} micro batches, {} kernels",
                                            kSequences / kMicro, name_of(isa)));
  struct Candidate {
    PipelineConfig config;
    std::vector<Round> rounds = {};
  };
  std::vector<Candidate> candidates = {{config_of(ScheduleKind::one_f_one_b, 1, kMicro)},
                                       {config_of(ScheduleKind::one_f_one_b, 1, kSequences)}};
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved,
                                  ScheduleKind::zero_bubble}) {
    if (options.wants(name_of(kind))) candidates.push_back({config_of(kind, 2, kMicro)});
  }
  for (int round = 0; round < options.rounds; ++round) {
    for (Candidate& candidate : candidates) candidate.rounds.push_back(measure(candidate.config));
  }
  // The machine may change its speed between rounds, so rounds are compared with themselves.
  const double tokens = kSequences * kSequence;
  const auto one_rank = [&](std::size_t round) {
    return std::min(candidates[0].rounds[round].seconds, candidates[1].rounds[round].seconds);
  };
  for (const Candidate& candidate : candidates) {
    std::vector<double> seconds, ratios, waiting;
    for (std::size_t round = 0; round < candidate.rounds.size(); ++round) {
      seconds.push_back(candidate.rounds[round].seconds);
      ratios.push_back(one_rank(round) / seconds.back());
      waiting.push_back(candidate.rounds[round].waiting);
    }
    const auto median = [](std::vector<double> values) {
      std::sort(values.begin(), values.end());
      return values[values.size() / 2];
    };
    const bench::Timing timing = bench::timing_of(seconds);
    const double best = timing.best_seconds, spread = timing.median_seconds / best;
    const PipelineConfig& config = candidate.config;
    if (config.stages == 1) {
      report.add(fmt::format("1 rank, 2 threads, micro batches of {}", config.sequences), tokens / best,
                 "tokens/s", 0, spread);
      continue;
    }
    report.add(fmt::format("2 stages, 1 thread each, {}", name_of(config.schedule)), tokens / best,
               "tokens/s", tokens / best / median(ratios), spread);
    const double bubble =
        play({config.schedule, config.stages, config.chunks, config.max_micro_batches}).bubble();
    report.add("... waiting, beside the formula's bubble", median(waiting) * 100, "%", bubble * 100, spread);
  }
}
