// Attention of GPT shapes: GFLOP/s counting visible (query, key) pairs only.
//   bench_attention [--threads N] [--rounds N] [--json]
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "harness.h"

namespace megalith {
namespace {

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

// The vector families take turns; each line stands beside the peak of its own family.
void measure(const bench::Options& options, bench::Report& report, const Problem& p) {
  const int threads = options.threads > 0 ? options.threads : usable_processors();
  struct Family {
    std::unique_ptr<Device> device;
    std::unique_ptr<Setup> setup;
  };
  std::vector<Family> families;
  std::vector<bench::Candidate> candidates;
  for (const cpu::Isa isa : {cpu::Isa::avx2, cpu::Isa::avx512, cpu::Isa::avx512_bf16}) {
    const std::vector<cpu::Isa> available = cpu::available_isas();
    if (std::find(available.begin(), available.end(), isa) == available.end()) continue;
    families.push_back({cpu::make_device(threads, isa), std::make_unique<Setup>(p.shape)});
    AttentionOps& ops = families.back().device->attention();
    Setup& setup = *families.back().setup;
    const double forward = cost_of(setup.forward).flops;
    const std::string name = fmt::format("{} {}", name_of(isa), p.name);
    candidates.push_back({name + " forward", forward, [&] { ops.forward(setup.forward); }});
    candidates.push_back({name + " forward, backward", forward + cost_of(setup.backward).flops, [&] {
                            ops.forward(setup.forward);
                            ops.backward(setup.backward);
                          }});
  }
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const bench::Timing& t = timings[i];
    report.add(candidates[i].name, candidates[i].work / t.best_seconds * 1e-9, "GFLOP/s",
               families[i / 2].device->peak_flops(DType::bf16) * 1e-9, t.median_seconds / t.best_seconds);
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  bench::Report report(options, "Causal attention, bf16, visible pairs counted");
  for (const Problem& p : {problem("gpt2-124m 4x1024, 12 heads of 64", 4, 1024, 12, 64),
                           problem("1x8192, 12 heads of 64", 1, 8192, 12, 64),
                           problem("quickstart 8x256, 4 heads of 64", 8, 256, 4, 64)}) {
    measure(options, report, p);
  }
}
