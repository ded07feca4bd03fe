// Attention with a window over longer and longer texts: the rate per token stays what it is at 4k tokens,
// where attention to everything loses half of it with each doubling.
//   bench_long_context [--threads N] [--rounds N] [--json]
#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "harness.h"

namespace megalith {
namespace {

constexpr int kHeads = 4;
constexpr int kHeadSize = 64;
constexpr std::int64_t kWindow = 1024;
constexpr std::int64_t kShortest = 4096;

// One sequence, forward and backward in bf16.
class Text {
 public:
  Text(std::int64_t tokens, std::int64_t window)
      : memory_(8), statistics_(static_cast<std::size_t>(2 * tokens * kHeads)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    constexpr std::int64_t kWidth = kHeads * kHeadSize;
    for (std::size_t m = 0; m < memory_.size(); ++m) {
      memory_[m].resize(static_cast<std::size_t>(tokens * kWidth));
      if (m > 4) continue;
      for (bf16& value : memory_[m]) value = to_bf16(normal(random));
    }
    const auto tensor = [&](std::size_t m) {
      return Tensor(memory_[m].data(), DType::bf16, {tokens, kWidth});
    };
    const AttentionShape shape{.sequences = 1,
                               .sequence = tokens,
                               .heads = kHeads,
                               .kv_heads = kHeads,
                               .head_size = kHeadSize,
                               .scale = 0.125f,
                               .window = window};
    const Tensor log_sum_exp(statistics_.data(), DType::f32, {kHeads, tokens});
    const Tensor row_dots(statistics_.data() + tokens * kHeads, DType::f32, {kHeads, tokens});
    forward_ = {.shape = shape,
                .q = tensor(0),
                .k = tensor(1),
                .v = tensor(2),
                .out = tensor(3),
                .log_sum_exp = log_sum_exp,
                .dropout = {}};
    backward_ = {.shape = shape,
                 .q = tensor(0),
                 .k = tensor(1),
                 .v = tensor(2),
                 .out = tensor(3),
                 .dout = tensor(4),
                 .log_sum_exp = log_sum_exp,
                 .dq = tensor(5),
                 .dk = tensor(6),
                 .dv = tensor(7),
                 .row_dots = row_dots,
                 .dropout = {}};
  }
  void step(AttentionOps& ops) const {
    ops.forward(forward_);
    ops.backward(backward_);
  }

 private:
  std::vector<std::vector<bf16>> memory_;
  std::vector<float> statistics_;
  AttentionForward forward_;
  AttentionBackward backward_;
};

void measure(const bench::Options& options, bench::Report& report, const char* name, std::int64_t window,
             std::int64_t longest) {
  const int threads = options.threads > 0 ? options.threads : usable_processors();
  const std::unique_ptr<Device> device = cpu::make_device(threads, cpu::available_isas().back());
  std::vector<std::unique_ptr<Text>> texts;
  std::vector<bench::Candidate> candidates;
  for (std::int64_t tokens = kShortest; tokens <= longest; tokens *= 2) {
    texts.push_back(std::make_unique<Text>(tokens, window));
    candidates.push_back({fmt::format("{}, {} tokens", name, tokens), static_cast<double>(tokens),
                          [&device, text = texts.back().get()] { text->step(device->attention()); }});
  }
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  const auto rate = [&](std::size_t i) { return candidates[i].work / timings[i].best_seconds; };
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    report.add(candidates[i].name, rate(i), "tokens/s", rate(0),
               timings[i].median_seconds / timings[i].best_seconds);
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  bench::Report report(
      options, fmt::format("Attention, {} heads of {}, bf16, forward and backward; the ratio is to {} tokens",
                           kHeads, kHeadSize, kShortest));
  measure(options, report, fmt::format("window of {}", kWindow).c_str(), kWindow, 65536);
  measure(options, report, "whole text", 0, 16384);
}
