#include "train/layout_rules.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "train/divisors.h"
#include "train/grain_rules.h"

namespace megalith {
namespace {

// The numbers in "3, 2, 3"; nothing where it says anything else.
std::optional<std::vector<std::int64_t>> numbers_in(std::string_view text) {
  std::vector<std::int64_t> numbers;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    numbers.push_back(number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (text.empty()) return numbers;
    if (text.front() != ',') return std::nullopt;
    text.remove_prefix(1);
  }
}

std::string list_of(const std::vector<std::int64_t>& numbers) {
  return fmt::format("\"{}\"", fmt::join(numbers, ", "));
}

// As even as may be, the longer ones first.
std::vector<std::int64_t> even_split(std::int64_t layers, std::int64_t chunks) {
  std::vector<std::int64_t> split(static_cast<std::size_t>(chunks), layers / chunks);
  std::fill_n(split.begin(), layers % chunks, layers / chunks + 1);
  return split;
}

class LayoutChecker {
 public:
  LayoutChecker(const TrainConfig& config, std::int64_t ranks, const Registry& registry)
      : config_(config), parallel_(config.parallel), ranks_(ranks), registry_(registry) {}

  std::vector<LayoutRefusal> run() {
    product();
    tensor();
    pipeline();
    batch();
    recompute();
    return std::move(broken_);
  }

 private:
  void refuse_as(LayoutRule rule, Refusal refusal) { broken_.push_back({rule, std::move(refusal)}); }
  void refuse_key(LayoutRule rule, const char* key, std::string allowed, std::string nearest) {
    refuse_as(rule, {.where = registry_.where(key),
                     .found = registry_.at(key).show(),
                     .allowed = std::move(allowed),
                     .nearest = std::move(nearest)});
  }

  // Degrees are at most 2^20, so products of three fit.
  void product() {
    const std::int64_t others = parallel_.tensor * parallel_.pipeline;
    const bool rest = parallel_.data == 0;
    if (rest ? ranks_ % others == 0 : others * parallel_.data == ranks_) return;
    refuse_as(LayoutRule::product,
              {.where = "parallel",
               .found = fmt::format("tensor {} x pipeline {}{} = {}", parallel_.tensor, parallel_.pipeline,
                                    rest ? "" : fmt::format(" x data {}", parallel_.data),
                                    rest ? others : others * parallel_.data),
               .allowed =
                   rest ? fmt::format("a divisor of {} rank{}, so that {} = tensor x pipeline x data", ranks_,
                                      ranks_ == 1 ? "" : "s", ranks_)
                        : fmt::format("{} rank{} = tensor x pipeline x data", ranks_, ranks_ == 1 ? "" : "s"),
               .nearest = nearest_degrees()});
  }

  // As many of the wanted tensor ranks as divide the number of ranks, then of the stages; data is the rest.
  [[nodiscard]] std::string nearest_degrees() const {
    const auto largest_divisor = [](std::int64_t whole, std::int64_t most) {
      const std::vector<std::int64_t> divisors = divisors_of(whole);
      return *std::prev(std::upper_bound(divisors.begin(), divisors.end(), most));
    };
    const std::int64_t tensor = largest_divisor(ranks_, parallel_.tensor);
    const std::int64_t pipeline = largest_divisor(ranks_ / tensor, parallel_.pipeline);
    return fmt::format("tensor {} x pipeline {} x data {}, or {} ranks", tensor, pipeline,
                       ranks_ / tensor / pipeline,
                       parallel_.tensor * parallel_.pipeline * std::max<std::int64_t>(parallel_.data, 1));
  }

  // What tree divides (hidden, heads' features, feed-forward, padded vocabulary) needs no rule of its own.
  void tensor() {
    const std::int64_t t = parallel_.tensor;
    const ModelConfig& model = config_.model;
    const std::int64_t common = std::gcd<std::int64_t>(config_.numerics.tree, model.heads);
    if (config_.numerics.tree % t != 0) {
      refuse_key(LayoutRule::tree, "parallel.tensor",
                 fmt::format("a divisor of numerics.tree = {}", config_.numerics.tree),
                 divisors_around(common, t));
    }
    if (model.heads % t != 0) {
      refuse_key(LayoutRule::heads, "parallel.tensor",
                 fmt::format("a divisor of model.heads = {}", model.heads), divisors_around(common, t));
    } else if (model.kv_heads % t != 0 && t % model.kv_heads != 0) {
      refuse_key(LayoutRule::kv_heads, "parallel.tensor",
                 fmt::format("a divisor or a multiple of model.kv_heads = {}", model.kv_heads),
                 divisors_around(std::gcd(common, model.kv_heads), t));
    }
    tokens();
  }

  void tokens() {
    const std::int64_t t = parallel_.tensor;
    const std::int64_t sequence = config_.batch.sequence;
    const std::int64_t step = sequences_of_whole_cuts(config_, t);
    if (config_.batch.micro % step == 0) return;
    refuse_key(
        LayoutRule::tokens, "batch.micro",
        fmt::format(
            "a micro batch whose tokens {} tensor ranks cut evenly{}: a multiple of {} sequences of {} "
            "tokens",
            t, parallel_.sequence ? " into blocks of 32" : "", step, sequence),
        std::to_string((config_.batch.micro + step - 1) / step * step) +
            (parallel_.sequence ? ", or parallel.sequence = false" : ", or a smaller parallel.tensor"));
  }

  void pipeline() {
    const std::int64_t chunks = parallel_.pipeline * parallel_.chunks;
    const std::int64_t layers = config_.model.layers;
    if (chunks > layers) {
      refuse_key(LayoutRule::layers, parallel_.chunks > 1 ? "parallel.chunks" : "parallel.pipeline",
                 fmt::format("at most model.layers = {} chunks in all, not pipeline {} x chunks {} = {}",
                             layers, parallel_.pipeline, parallel_.chunks, chunks),
                 parallel_.chunks > 1 && layers >= parallel_.pipeline
                     ? std::to_string(layers / parallel_.pipeline)
                     : std::to_string(layers));
    } else if (!parallel_.stage_layers.empty()) {
      stage_layers(chunks);
    }
    schedule();
  }

  void stage_layers(std::int64_t chunks) {
    const std::int64_t layers = config_.model.layers;
    const std::optional<std::vector<std::int64_t>> split = numbers_in(parallel_.stage_layers);
    const bool each = split && std::all_of(split->begin(), split->end(), [&](std::int64_t of_one) {
                        return of_one >= 1 && of_one <= layers;
                      });
    if (each && std::cmp_equal(split->size(), chunks) &&
        std::accumulate(split->begin(), split->end(), std::int64_t{0}) == layers)
      return;
    refuse_key(
        LayoutRule::stage_layers, "parallel.stage_layers",
        fmt::format(
            "a number of layers, 1 or more, for each of pipeline {} x chunks {} = {} chunks, {} in all",
            parallel_.pipeline, parallel_.chunks, chunks, layers),
        list_of(even_split(layers, chunks)));
  }

  void schedule() {
    const bool interleaved = parallel_.schedule == ScheduleKind::interleaved;
    if (interleaved && parallel_.pipeline == 1) {
      refuse_key(LayoutRule::schedule, "parallel.schedule", "another one where parallel.pipeline = 1",
                 "\"1f1b\"");
    } else if (interleaved && parallel_.chunks < 2) {
      refuse_key(LayoutRule::schedule, "parallel.chunks", "2 or more with the schedule interleaved", "2");
    } else if (!interleaved && parallel_.chunks > 1) {
      refuse_key(LayoutRule::schedule, "parallel.chunks", "1 unless parallel.schedule = \"interleaved\"",
                 "1, or parallel.schedule = \"interleaved\"");
    }
  }

  // The first size of a ramp is its smallest.
  void batch() {
    const std::int64_t model_ranks = parallel_.tensor * parallel_.pipeline;
    const std::int64_t data = parallel_.data != 0 ? parallel_.data : ranks_ / model_ranks;
    const bool ramp = config_.batch.ramp_start > 0;
    const std::int64_t smallest = ramp ? config_.batch.ramp_start : config_.batch.global;
    const std::int64_t unit = sequences_per_unit(config_);
    if (data <= smallest / unit) return;
    refuse_as(
        LayoutRule::batch,
        {.where = registry_.where("parallel.data"),
         .found = std::to_string(data),
         .allowed = fmt::format("at most {}: every data rank reads a unit of whole grains ({} sequence{}) of "
                                "{} = {} sequences",
                                smallest / unit, unit, unit == 1 ? "" : "s",
                                ramp ? "batch.ramp_start" : "batch.global", smallest),
         .nearest = fmt::format("{}, or {} = {}", smallest / unit, ramp ? "batch.ramp_start" : "batch.global",
                                data * unit)});
  }

  void recompute() {
    if (parallel_.recompute_layers == 0) return;
    if (parallel_.recompute == Recompute::none) {
      refuse_key(LayoutRule::recompute_layers, "parallel.recompute_layers",
                 "0 where parallel.recompute = \"none\"", "0, or parallel.recompute = \"full\"");
    } else if (parallel_.recompute_layers > config_.model.layers) {
      refuse_key(LayoutRule::recompute_layers, "parallel.recompute_layers",
                 fmt::format("at most model.layers = {}", config_.model.layers), "0");
    }
  }

  const TrainConfig& config_;
  const ParallelConfig& parallel_;
  std::int64_t ranks_;
  const Registry& registry_;
  std::vector<LayoutRefusal> broken_;
};

}  // namespace

const char* name_of(LayoutRule rule) {
  static constexpr const char* kNames[kLayoutRules] = {
      "ranks = tensor x pipeline x data",
      "tensor divides numerics.tree",
      "tensor divides model.heads",
      "tensor divides model.kv_heads, or they divide it",
      "tensor ranks cut a micro batch evenly",
      "a layer for every chunk",
      "stage_layers lists all layers",
      "chunks go with the schedule interleaved",
      "a unit of whole grains for every data rank",
      "recompute_layers goes with recompute",
  };
  return kNames[static_cast<std::size_t>(rule)];
}

std::int64_t sequences_per_unit(const TrainConfig& config) {
  return sequences_of_whole_grains(config.numerics.grain, config.batch.sequence);
}

std::vector<LayoutRefusal> broken_layout_rules(const TrainConfig& config, std::int64_t ranks,
                                               const Registry& registry) {
  return LayoutChecker(config, ranks, registry).run();
}

Expected<Layout> layout_of(const TrainConfig& config, std::int64_t ranks) {
  TrainConfig shown = config;
  Registry registry;
  declare_train_keys(registry, shown);
  Refusals refusals;
  for (LayoutRefusal& broken : broken_layout_rules(config, ranks, registry))
    refusals.push_back(std::move(broken.refusal));
  if (!refusals.empty()) return refuse(std::move(refusals));
  ParallelConfig parallel = config.parallel;
  parallel.data = ranks / parallel.tensor / parallel.pipeline;
  return layout_of(parallel);
}

Layout layout_of(const ParallelConfig& parallel) {
  return {.data = static_cast<int>(parallel.data),
          .pipeline = static_cast<int>(parallel.pipeline),
          .tensor = static_cast<int>(parallel.tensor)};
}

std::string sums_of_layout(const TrainConfig& config, const Layout& layout) {
  const ParallelConfig& p = config.parallel;
  return fmt::format(
      "tensor={} pipeline={} data={} zero={} schedule={} chunks={} stage_layers=\"{}\" micro={}",
      layout.tensor, layout.pipeline, layout.data, p.zero, static_cast<int>(p.schedule), p.chunks,
      p.stage_layers, config.batch.micro);
}

std::string equation(const Layout& layout) {
  return fmt::format("{} rank{} = tensor {} x pipeline {} x data {}", layout.ranks(),
                     layout.ranks() == 1 ? "" : "s", layout.tensor, layout.pipeline, layout.data);
}

std::vector<std::int64_t> layers_of_chunks(const ParallelConfig& parallel, std::int64_t layers) {
  if (!parallel.stage_layers.empty()) return numbers_in(parallel.stage_layers).value();
  return even_split(layers, parallel.pipeline * parallel.chunks);
}

const char* name_of(Recompute recompute) {
  static constexpr const char* kNames[] = {"none", "selective", "full"};
  return kNames[static_cast<std::size_t>(recompute)];
}

std::int64_t sequences_of_whole_cuts(const TrainConfig& config, std::int64_t tensor) {
  const std::int64_t block = tensor == 1 ? 1 : config.parallel.sequence ? tensor * kBiasBlock : tensor;
  return std::lcm(sequences_per_unit(config), block / std::gcd(block, config.batch.sequence));
}

}  // namespace megalith
