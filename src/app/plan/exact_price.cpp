#include "app/plan/exact_price.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/arena.h"
#include "train/grain_rules.h"

namespace megalith::app {
namespace {

constexpr std::int64_t kLeastGrain = 256;   // smaller ones are legal and dear
constexpr std::int64_t kMostTokens = 4096;  // of a probe
constexpr std::int64_t kMostFeatures = 1024;
constexpr std::int64_t kMostElements = 1 << 24;  // of an operand
constexpr int kMostTries = 6;
constexpr std::chrono::milliseconds kMostTime{800};

// One product with its operands.
class Probe {
 public:
  Probe(const TrainConfig& config, Device& device, const ExactPrice& price)
      : device_(device),
        arena_("probe of weight gradients",
               static_cast<std::size_t>(price.tokens * (price.outputs + price.inputs) * 4 +
                                        price.outputs * price.inputs * 12) +
                   4096),
        shift_(gradient_shift(config.numerics.batch_tokens_max)),
        dy_(arena_.allocate(config.numerics.compute, {price.tokens, price.outputs})),
        x_(arena_.allocate(config.numerics.compute, {price.tokens, price.inputs})),
        integers_(arena_.allocate(DType::i64, {price.outputs, price.inputs})),
        floats_(arena_.allocate(DType::f32, {price.outputs, price.inputs})) {}

  // grain 0: fast.
  double seconds(std::int64_t grain) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    device_.matmul().weight_gradient({.dy = dy_,
                                      .x = x_,
                                      .dw = grain == 0 ? floats_ : integers_,
                                      .grain = grain,
                                      .shift = shift_,
                                      .verdict = &verdict_});
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

 private:
  Device& device_;
  Arena arena_;
  int shift_;
  Tensor dy_, x_, integers_, floats_;
  Verdict verdict_;
};

double parameters_in_matrices(const ModelConfig& model) {
  double count = 0;
  for (const TensorShape& tensor : tensor_shapes(model)) {
    const bool looked_up =
        tensor.name == "embedding.positions" || (tensor.name == "embedding.tokens" && !model.tied_output);
    if (tensor.rows > 1 && !looked_up) count += static_cast<double>(tensor.rows * tensor.columns);
  }
  return count;
}

// The config's own, and those that are large enough, or else the largest.
std::vector<std::int64_t> grains_worth_trying(const TrainConfig& config) {
  std::vector<std::int64_t> grains = legal_grains(config.batch);
  const std::int64_t least = std::min(kLeastGrain, grains.empty() ? kLeastGrain : grains.back());
  std::erase_if(grains, [&](std::int64_t grain) { return grain < least && grain != config.numerics.grain; });
  return grains;
}

}  // namespace

const ExactPrice::OfGrain& ExactPrice::best() const {
  return *std::min_element(grains.begin(), grains.end(),
                           [](const OfGrain& a, const OfGrain& b) { return a.seconds < b.seconds; });
}

bool ExactPrice::chosen_is_cheap() const {
  const auto measured =
      std::find_if(grains.begin(), grains.end(), [&](const OfGrain& grain) { return grain.grain >= chosen; });
  return of_step(measured == grains.end() ? grains.back() : *measured) < kAimedShare;
}

const ExactPrice::OfGrain* ExactPrice::smallest_cheap() const {
  const auto cheap = std::find_if(grains.begin(), grains.end(),
                                  [&](const OfGrain& grain) { return of_step(grain) < kAimedShare; });
  return cheap == grains.end() ? nullptr : &*cheap;
}

ExactPrice measure_exact_price(const TrainConfig& config, Device& device) {
  std::vector<std::int64_t> grains = grains_worth_trying(config);
  if (grains.empty()) grains.push_back(config.numerics.grain);
  // A grain beyond the probe's tokens costs no more than one of all of them.
  const std::int64_t micro = config.batch.micro * config.batch.sequence;
  std::int64_t tokens = micro;
  while (tokens > kMostTokens && tokens % 2 == 0 && tokens / 2 % grains.front() == 0) tokens /= 2;
  std::erase_if(grains, [&](std::int64_t grain) { return tokens % grain != 0; });
  const std::int64_t features = std::min({config.model.hidden, kMostFeatures, kMostElements / tokens});
  const double matrices = parameters_in_matrices(config.model);
  ExactPrice price{
      .tokens = tokens,
      .outputs = features,
      .inputs = features,
      .share = 2 * matrices /
               static_cast<double>(training_flops_causal(config.model, config.batch.sequence).flops),
      .chosen = config.numerics.grain};
  Probe probe(config, device, price);
  probe.seconds(0);
  price.fast_seconds = probe.seconds(0);
  for (const std::int64_t grain : grains) price.grains.push_back({grain, probe.seconds(grain)});
  price.tries = 1;
  const auto start = std::chrono::steady_clock::now();
  for (; price.tries < kMostTries && std::chrono::steady_clock::now() - start < kMostTime; ++price.tries) {
    price.fast_seconds = std::min(price.fast_seconds, probe.seconds(0));
    for (ExactPrice::OfGrain& grain : price.grains)
      grain.seconds = std::min(grain.seconds, probe.seconds(grain.grain));
  }
  return price;
}

std::string describe(const ExactPrice& price) {
  std::string text = fmt::format(
      "what exact costs here, measured with weight gradients of {} x {} over {} tokens, the best of {} "
      "tries:\n"
      "     grain  of the product  of a step, if all of it runs at that speed\n",
      price.outputs, price.inputs, price.tokens, price.tries);
  for (const ExactPrice::OfGrain& grain : price.grains) {
    text += fmt::format("  {:>8}  {:>+13.1f}%  {:>+8.1f}%{}\n", grain.grain, 100 * price.of_product(grain),
                        100 * price.of_step(grain), grain.grain == price.chosen ? "  (the config's)" : "");
  }
  const ExactPrice::OfGrain* cheap = price.smallest_cheap();
  text += cheap != nullptr ? fmt::format("  less than {:.0f}% of a step from numerics.grain = {} on",
                                         100 * ExactPrice::kAimedShare, cheap->grain)
                           : fmt::format("  least with numerics.grain = {}", price.best().grain);
  return text + "; numerics.mode = \"fast\" costs nothing and has other bits in every layout\n";
}

nlohmann::ordered_json json_of(const ExactPrice& price) {
  const ExactPrice::OfGrain* cheap = price.smallest_cheap();
  nlohmann::ordered_json grains = nlohmann::ordered_json::array();
  for (const ExactPrice::OfGrain& grain : price.grains) {
    grains.push_back(
        {{"grain", grain.grain}, {"of_product", price.of_product(grain)}, {"of_step", price.of_step(grain)}});
  }
  return {{"tokens", price.tokens},
          {"outputs", price.outputs},
          {"inputs", price.inputs},
          {"grains", grains},
          {"chosen", price.chosen},
          {"best", price.best().grain},
          {"below_a_tenth_from",
           cheap == nullptr ? nlohmann::ordered_json() : nlohmann::ordered_json(cheap->grain)}};
}

}  // namespace megalith::app
