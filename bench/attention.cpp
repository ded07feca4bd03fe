// Attention of GPT shapes: GFLOP/s counting visible (query, key) pairs only, best and median of several
// calls.
//   bench_attention [--threads N] [--seconds S] [--isa NAME] [--json]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/cpu_device.h"

namespace megalith {
namespace {

struct Options {
  int threads = usable_processors();
  double seconds = 1.0;  // per line
  std::string isa;       // empty: every vector family available
  bool json = false;
};

struct Problem {
  const char* name;
  AttentionShape shape;
};

Problem problem(const char* name, int sequences, int sequence, int heads, int size) {
  return {name,
          {.sequences = sequences,
           .sequence = sequence,
           .heads = heads,
           .kv_heads = heads,
           .head_size = size,
           .scale = 0.125f}};
}

// Random operands and room for all results of one problem.
class Setup {
 public:
  explicit Setup(const AttentionShape& shape) {
    const std::int64_t tokens = shape.sequences * shape.sequence;
    const std::int64_t width = std::int64_t{shape.heads} * shape.head_size;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    memory_.resize(8);
    for (auto& m : memory_) {
      for (std::int64_t i = 0; i < tokens * width; ++i) m.push_back(to_bf16(normal(random)));
    }
    statistics_.resize(static_cast<std::size_t>(2 * tokens * shape.heads));
    const auto tensor = [&](std::size_t i) {
      return Tensor(memory_[i].data(), DType::bf16, {tokens, width});
    };
    const Tensor lse(statistics_.data(), DType::f32, {shape.heads, tokens});
    const Tensor dots(statistics_.data() + tokens * shape.heads, DType::f32, {shape.heads, tokens});
    forward = {.shape = shape,
               .q = tensor(0),
               .k = tensor(1),
               .v = tensor(2),
               .document_start = nullptr,
               .out = tensor(3),
               .log_sum_exp = lse,
               .dropout = {}};
    backward = {.shape = shape,
                .q = tensor(0),
                .k = tensor(1),
                .v = tensor(2),
                .out = tensor(3),
                .dout = tensor(4),
                .log_sum_exp = lse,
                .document_start = nullptr,
                .dq = tensor(5),
                .dk = tensor(6),
                .dv = tensor(7),
                .row_dots = dots,
                .dropout = {}};
  }
  AttentionForward forward;
  AttentionBackward backward;

 private:
  std::vector<std::vector<bf16>> memory_;
  std::vector<float> statistics_;
};

template <class F>
std::vector<double> time_calls(double seconds, F&& call) {
  using Clock = std::chrono::steady_clock;
  call();
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point start = Clock::now();
    call();
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  } while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds || times.size() < 3);
  std::sort(times.begin(), times.end());
  return times;
}

void report(const Options& options, const std::string& name, double flops, const std::vector<double>& times) {
  const double best = flops / times.front() * 1e-9;
  const double median = flops / times[times.size() / 2] * 1e-9;
  if (options.json) {
    std::printf(
        "{\"name\": \"%s\", \"value\": %.2f, \"median\": %.2f, \"unit\": \"GFLOP/s\", \"calls\": %zu}\n",
        name.c_str(), best, median, times.size());
  } else {
    std::printf("%-48s %8.1f GFLOP/s best %8.1f median (%zu calls)\n", name.c_str(), best, median,
                times.size());
  }
}

void measure(const Options& options, cpu::Isa isa, const Problem& p) {
  Setup setup(p.shape);
  ThreadPool pool(options.threads);
  const auto ops = cpu::make_attention(pool, isa);
  const std::string name = std::string(p.name) + ", " + name_of(isa);
  const double forward_flops = cost_of(setup.forward).flops;
  const double backward_flops = cost_of(setup.backward).flops;
  report(options, name + ", forward", forward_flops,
         time_calls(options.seconds, [&] { ops->forward(setup.forward); }));
  report(options, name + ", forward and backward", forward_flops + backward_flops,
         time_calls(options.seconds, [&] {
           ops->forward(setup.forward);
           ops->backward(setup.backward);
         }));
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--json") == 0) {
      options.json = true;
    } else if (std::strcmp(argv[i], "--threads") == 0 && has_value) {
      options.threads = std::clamp(std::atoi(argv[++i]), 1, 1024);
    } else if (std::strcmp(argv[i], "--seconds") == 0 && has_value) {
      options.seconds = std::atof(argv[++i]);
    } else if (std::strcmp(argv[i], "--isa") == 0 && has_value) {
      options.isa = argv[++i];
    } else {
      std::fprintf(stderr, "usage: bench_attention [--threads N] [--seconds S] [--isa NAME] [--json]\n");
      std::exit(2);
    }
  }
  return options;
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const Options options = parse(argc, argv);
  const Problem problems[] = {problem("GPT-2 124M (4 x 1024, 12 heads of 64)", 4, 1024, 12, 64),
                              problem("tiny (8 x 256, 4 heads of 64)", 8, 256, 4, 64)};
  for (const Problem& p : problems) {
    for (const cpu::Isa isa : cpu::available_isas()) {
      const bool vector = isa == cpu::Isa::avx2 || isa == cpu::Isa::avx512;
      if (options.isa.empty() ? vector : options.isa == name_of(isa)) measure(options, isa, p);
    }
  }
}
