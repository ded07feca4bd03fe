// Two tensor ranks with one thread each against one rank with two, on the same micro batch: tokens per
// second, and the share of the time in which a rank waits for the others. Ranks are threads of this process.
//   bench_tensor_parallel [--rounds N] [--json] [small | quickstart ...]

#include <algorithm>
#include <memory>
#include <vector>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "harness.h"
#include "model/transformer.h"
#include "operation_times.h"
#include "random_tokens.h"

namespace megalith {
namespace {

struct Problem {
  const char* name;
  std::int64_t layers, hidden, heads, sequence, vocabulary, sequences;
};
constexpr Problem kProblems[] = {
    {"small", 6, 384, 6, 256, 4096, 16},
    {"quickstart", 4, 256, 4, 256, 4096, 8},
};

ModelConfig config_of(const Problem& problem) {
  ModelConfig config;
  config.layers = problem.layers;
  config.hidden = problem.hidden;
  config.heads = problem.heads;
  config.sequence = problem.sequence;
  config.vocabulary = problem.vocabulary;
  resolve(config);
  return config;
}

// Ranks that share a model, each with everything it needs for a step.
class SharedModel {
 public:
  SharedModel(const Problem& problem, int ranks, bool sequence_parallel, cpu::Isa isa)
      : config_(config_of(problem)),
        tokens_(problem.sequences, problem.sequence, problem.vocabulary),
        batch_(tokens_.micro_batch(0, problem.sequences)) {
    profile_.compute = DType::bf16;
    profile_.grain = problem.sequence;
    profile_.batch_tokens_max = problem.sequences * problem.sequence;
    for (int rank = 0; rank < ranks; ++rank) {
      const TensorSharing sharing{.place = {ranks, rank}, .sequence_parallel = sequence_parallel};
      ranks_.push_back(std::make_unique<Rank>(config_, profile_, sharing, problem, 2 / ranks, isa));
    }
  }

  // Forward and backward of one micro batch.
  void step() {
    const auto count = static_cast<int>(ranks_.size());
    run_ranks(count, [&](Communicator& world) {
      set_floating_point_mode();
      Rank& rank = *ranks_[static_cast<std::size_t>(world.rank())];
      bench::OperationTimes times;
      const std::unique_ptr<Communicator> timed = observe(world, times);
      const TensorGroup group(*timed, static_cast<int>(config_.kv_heads));
      LossTotals totals;
      const double begin = bench::seconds_now();
      rank.transformer.forward_backward({.device = *rank.device,
                                         .profile = profile_,
                                         .workspace = rank.workspace,
                                         .batch = batch_,
                                         .training = true,
                                         .gradient_shift = gradient_shift(profile_.batch_tokens_max),
                                         .verdict = &rank.verdict,
                                         .tensor = count > 1 ? &group : nullptr},
                                        rank.stash, totals);
      rank.seconds += bench::seconds_now() - begin;
      rank.waiting += times.waited;
    });
  }
  // Of all steps so far, on the first rank.
  [[nodiscard]] double share_of_waiting() const { return ranks_[0]->waiting / ranks_[0]->seconds; }

 private:
  struct Rank {
    Rank(const ModelConfig& config, const NumericsProfile& profile, const TensorSharing& sharing,
         const Problem& problem, int threads, cpu::Isa isa)
        : needs(measure_micro_batch(config, profile, problem.sequences, problem.sequence, {}, sharing)),
          device(cpu::make_device(threads, isa)),
          parameters(Transformer::specs(config, profile, sharing), profile.compute, Parameters::Use::training,
                     sharing.place),
          transformer(config, profile, parameters, {}, sharing),
          stash_arena("stash", needs.stash_bytes),
          workspace("workspace", needs.workspace_bytes),
          stash(stash_arena, transformer.stash_depth()) {
      parameters.initialise(1);
      parameters.refresh_working(*device);
    }
    MicroBatchNeeds needs;
    std::unique_ptr<Device> device;
    Parameters parameters;
    Transformer transformer;
    Arena stash_arena, workspace;
    Stash stash;
    Verdict verdict;
    double seconds = 0, waiting = 0;
  };

  ModelConfig config_;
  NumericsProfile profile_;
  bench::RandomTokens tokens_;
  MicroBatch batch_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

void measure(const bench::Options& options, bench::Report& report, const Problem& problem, cpu::Isa isa) {
  const auto tokens = static_cast<double>(problem.sequences * problem.sequence);
  SharedModel one(problem, 1, false, isa);
  SharedModel two(problem, 2, false, isa);
  SharedModel cut(problem, 2, true, isa);
  const std::vector<bench::Timing> timings =
      bench::take_turns({{"1 rank, 2 threads", tokens, [&] { one.step(); }},
                         {"2 tensor ranks, 1 thread each", tokens, [&] { two.step(); }},
                         {"2 tensor ranks, 1 thread each, sequence parallel", tokens, [&] { cut.step(); }}},
                        options.rounds);
  const double reference = tokens / timings[0].best_seconds;
  const auto add = [&](const char* name, const bench::Timing& timing, double against) {
    report.add(fmt::format("{}: {}", problem.name, name), tokens / timing.best_seconds, "tokens/s", against,
               timing.median_seconds / timing.best_seconds);
  };
  add("1 rank, 2 threads", timings[0], 0);
  add("2 ranks", timings[1], reference);
  add("2 ranks, sequence parallel", timings[2], reference);
  report.add(fmt::format("{}: waiting of 2 ranks", problem.name), two.share_of_waiting() * 100, "%", 100, 1);
  report.add(fmt::format("{}: waiting, sequence parallel", problem.name), cut.share_of_waiting() * 100, "%",
             100, 1);
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, fmt::format("Tensor parallel on two processors, {} kernels", name_of(isa)));
  for (const Problem& problem : kProblems) {
    if (options.wants(problem.name)) measure(options, report, problem, isa);
  }
}
