// Two tensor ranks with one thread each against one rank with two, on the same micro batch: tokens per
// second, and the share of the time in which a rank waits for the others. Ranks are threads of this process.
//   bench_tensor_parallel [--rounds N] [--json] [small | quickstart ...]

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "device/cpu/cpu_device.h"
#include "harness.h"
#include "model/transformer.h"

namespace megalith {
namespace {

using Clock = std::chrono::steady_clock;

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

// Adds up the time in wait().
class TimedRanks final : public Communicator {
 public:
  explicit TimedRanks(Communicator& inner) : inner_(inner) {}
  double seconds = 0;

  [[nodiscard]] int rank() const override { return inner_.rank(); }
  [[nodiscard]] int size() const override { return inner_.size(); }
  Request all_gather(ConstBytes mine, Bytes all) override { return inner_.all_gather(mine, all); }
  Request all_to_all(ConstBytes from, Bytes to) override { return inner_.all_to_all(from, to); }
  Request broadcast(Bytes data, int root) override { return inner_.broadcast(data, root); }
  Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) override {
    return inner_.all_reduce(values, reduction);
  }
  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    return inner_.reduce_scatter(all, mine);
  }
  Request send(ConstBytes data, int to) override { return inner_.send(data, to); }
  Request receive(Bytes data, int from) override { return inner_.receive(data, from); }
  void wait(Request request) override {
    const Clock::time_point begin = Clock::now();
    inner_.wait(request);
    seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  }
  std::unique_ptr<Communicator> split(int colour, int key, const std::string& name) override {
    return inner_.split(colour, key, name);
  }
  [[nodiscard]] const std::string& name() const override { return inner_.name(); }

 private:
  Communicator& inner_;
};

// Random tokens, no masks, one document per sequence.
struct Tokens {
  explicit Tokens(const Problem& problem) {
    const auto count = static_cast<std::size_t>(problem.sequences * problem.sequence);
    for (std::size_t t = 0; t < count; ++t) {
      ids.push_back(
          static_cast<std::int32_t>((t * 2654435761u >> 7) % static_cast<std::size_t>(problem.vocabulary)));
      positions.push_back(static_cast<std::int32_t>(t) % static_cast<std::int32_t>(problem.sequence));
    }
    start.assign(count, 0);
    mask.assign(count, 1);
    for (std::int64_t s = 0; s < problem.sequences; ++s) samples.push_back(s);
    batch = {.sequences = problem.sequences,
             .sequence = problem.sequence,
             .ids = ids.data(),
             .targets = ids.data(),
             .loss_mask = mask.data(),
             .document_start = start.data(),
             .positions = positions.data(),
             .samples = samples.data()};
  }
  std::vector<std::int32_t> ids, positions, start;
  std::vector<std::uint8_t> mask;
  std::vector<std::int64_t> samples;
  MicroBatch batch;
};

struct Measured {
  double best = 1e30, median = 0, waiting = 0;  // seconds; share of the best round
};

// Forward and backward of one micro batch, again and again.
Measured measure(const Problem& problem, int ranks, bool sequence_parallel, int rounds, cpu::Isa isa) {
  const ModelConfig config = config_of(problem);
  NumericsProfile profile;
  profile.compute = DType::bf16;
  profile.grain = problem.sequence;
  profile.batch_tokens_max = problem.sequences * problem.sequence;
  const Tokens tokens(problem);
  Measured measured;
  run_ranks(ranks, [&](Communicator& world) {
    set_floating_point_mode();
    const TensorSharing sharing{.place = {ranks, world.rank()}, .sequence_parallel = sequence_parallel};
    const MicroBatchNeeds needs =
        measure_micro_batch(config, profile, problem.sequences, problem.sequence, {}, sharing);
    const std::unique_ptr<Device> device = cpu::make_device(2 / ranks, isa);
    Parameters parameters(Transformer::specs(config, profile, sharing), profile.compute,
                          Parameters::Use::training, sharing.place);
    parameters.initialise(1);
    parameters.refresh_working(*device);
    const Transformer transformer(config, profile, parameters, {}, sharing);
    Arena stash_arena("stash", needs.stash_bytes);
    Arena workspace("workspace", needs.workspace_bytes);
    Stash stash(stash_arena, transformer.stash_depth());
    TimedRanks timed(world);
    const TensorGroup group(timed, static_cast<int>(config.kv_heads));
    Verdict verdict;
    LossTotals totals;
    std::vector<double> times;
    for (int round = -1; round < rounds; ++round) {
      timed.seconds = 0;
      const Clock::time_point begin = Clock::now();
      transformer.forward_backward({.device = *device,
                                    .profile = profile,
                                    .workspace = workspace,
                                    .batch = tokens.batch,
                                    .training = true,
                                    .gradient_shift = gradient_shift(profile.batch_tokens_max),
                                    .verdict = &verdict,
                                    .tensor = ranks > 1 ? &group : nullptr},
                                   stash, totals);
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      if (round < 0 || world.rank() != 0) continue;
      times.push_back(seconds);
      if (seconds < measured.best) measured = {.best = seconds, .waiting = timed.seconds / seconds};
    }
    if (world.rank() != 0) return;
    std::sort(times.begin(), times.end());
    measured.median = times[times.size() / 2];
  });
  return measured;
}

void report_problem(const bench::Options& options, bench::Report& report, const Problem& problem,
                    cpu::Isa isa) {
  const auto tokens = static_cast<double>(problem.sequences * problem.sequence);
  const Measured one = measure(problem, 1, false, options.rounds, isa);
  report.add(fmt::format("{}: 1 rank, 2 threads", problem.name), tokens / one.best, "tokens/s", 0,
             one.median / one.best);
  for (const bool sequence_parallel : {false, true}) {
    const Measured two = measure(problem, 2, sequence_parallel, options.rounds, isa);
    const char* kind = sequence_parallel ? ", sequence parallel" : "";
    report.add(fmt::format("{}: 2 tensor ranks, 1 thread each{}", problem.name, kind), tokens / two.best,
               "tokens/s", tokens / one.best, two.median / two.best);
    report.add(fmt::format("{}: ... of which waiting{}", problem.name, kind), two.waiting * 100, "%", 100,
               two.median / two.best);
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa(std::getenv("MEGALITH_ISA")));
  bench::Report report(options, fmt::format("Tensor parallel on two processors, {} kernels", name_of(isa)));
  for (const Problem& problem : kProblems) {
    const bool wanted = options.rest.empty() || std::find(options.rest.begin(), options.rest.end(),
                                                          problem.name) != options.rest.end();
    if (wanted) report_problem(options, report, problem, isa);
  }
}
