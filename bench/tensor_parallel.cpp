// Two tensor ranks with one thread each against one rank with two, on the same micro batch: tokens per
// second, and the share of the time in which a rank waits for the others. Ranks are threads of this process.
//   bench_tensor_parallel [--rounds N] [--json] [small | quickstart ...]

#include <memory>
#include <vector>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "forward_backward.h"
#include "model_shapes.h"
#include "open_device.h"
#include "operation_times.h"

namespace megalith {
namespace {

struct Problem {
  bench::ModelShape shape;
  std::int64_t sequences, sequence;
};
constexpr Problem kProblems[] = {{bench::kSmall, 16, 256}, {bench::kQuickstart, 8, 256}};

// Ranks that share a model, each with everything it needs for a step.
class SharedModel {
 public:
  SharedModel(const TrainConfig& config, int ranks, bool sequence_parallel)
      : kv_heads_(static_cast<int>(config.model.kv_heads)) {
    for (int rank = 0; rank < ranks; ++rank) {
      const TensorSharing sharing{.place = {ranks, rank}, .sequence_parallel = sequence_parallel};
      ranks_.push_back(std::make_unique<Rank>(config, sharing, 2 / ranks));
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
      const TensorGroup group(*timed, kv_heads_);
      const double begin = bench::seconds_now();
      rank.work.run(count > 1 ? &group : nullptr);
      rank.seconds += bench::seconds_now() - begin;
      rank.waiting += times.waited;
    });
  }
  // Of all steps so far, on the first rank.
  [[nodiscard]] double share_of_waiting() const { return ranks_[0]->waiting / ranks_[0]->seconds; }

 private:
  struct Rank {
    Rank(const TrainConfig& config, const TensorSharing& sharing, int threads)
        : device(bench::open_device(threads)), work(config, *device, sharing) {}
    std::unique_ptr<Device> device;
    bench::ForwardBackward work;
    double seconds = 0, waiting = 0;
  };

  int kv_heads_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

void measure(const bench::Options& options, bench::Report& report, const Problem& problem) {
  const TrainConfig config = bench::training_of(problem.shape, problem.sequences, problem.sequence);
  const auto tokens = static_cast<double>(config.tokens_per_step());
  SharedModel one(config, 1, false);
  SharedModel two(config, 2, false);
  SharedModel cut(config, 2, true);
  const std::vector<bench::Timing> timings =
      bench::take_turns({{"1 rank, 2 threads", tokens, [&] { one.step(); }},
                         {"2 tensor ranks, 1 thread each", tokens, [&] { two.step(); }},
                         {"2 tensor ranks, 1 thread each, sequence parallel", tokens, [&] { cut.step(); }}},
                        options);
  const double reference = tokens / timings[0].best_seconds;
  const char* name = problem.shape.name;
  const auto add = [&](const char* what, const bench::Timing& timing, double against) {
    report.add(fmt::format("{}: {}", name, what), tokens / timing.best_seconds, "tokens/s", against,
               timing.median_seconds / timing.best_seconds);
  };
  add("1 rank, 2 threads", timings[0], 0);
  add("2 ranks", timings[1], reference);
  add("2 ranks, sequence parallel", timings[2], reference);
  report.add(fmt::format("{}: waiting of 2 ranks", name), two.share_of_waiting() * 100, "%", 100, 1);
  report.add(fmt::format("{}: waiting, sequence parallel", name), cut.share_of_waiting() * 100, "%", 100, 1);
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  const cpu::Isa isa = value_or_throw(cpu::choose_isa());
  bench::Report report(options, fmt::format("Tensor parallel on two processors, {} kernels", name_of(isa)));
  for (const Problem& problem : kProblems) {
    if (options.wants(problem.shape.name)) measure(options, report, problem);
  }
}
