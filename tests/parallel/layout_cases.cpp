#include "parallel/layout_cases.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "core/philox.h"
#include "device/cpu/cpu_device.h"
#include "train/layout_rules.h"

namespace megalith::test {
namespace {

constexpr std::int64_t kSequence = 64;
constexpr std::int64_t kFewRanks = 4;

// In the order of the design; the first ones may contradict each other.
enum Place : std::size_t {
  kTensor,
  kPipeline,
  kData,
  kSchedule,
  kZero,
  kSequenceParallel,
  kTree,
  kMicro,
  kRamp,
  kConstrained,
  kRecompute = kConstrained,
  kDropout,
  kType,
  kVocabulary,
  kShape,
  kTied,
  kMasks,
  kDocuments,
  kThreads,
};

std::vector<Factor> layout_factors() {
  return {{"tensor", {"1", "2", "4", "8"}}, {"pipeline", {"1", "2", "3", "4"}},
          {"data", {"1", "2", "3", "8"}},   {"schedule", {"gpipe", "1f1b", "interleaved", "zero_bubble"}},
          {"ZeRO", {"0", "1", "2", "3"}},   {"sequence parallel", {"no", "yes"}},
          {"tree", {"8", "2", "4", "16"}},  {"micro batch", {"1", "2", "4"}},
          {"ramp", {"no", "yes"}},          {"recompute", {"none", "selective", "full"}},
          {"dropout", {"0", "0.1"}},        {"type", {"f32", "bf16"}},
          {"vocabulary", {"509", "512"}},   {"shape", {"gpt", "llama", "neox"}},
          {"output", {"tied", "untied"}},   {"masks", {"full", "ragged"}},
          {"documents", {"one", "packed"}}, {"threads", {"1", "2"}}};
}

const std::string& value_of(const Row& row, std::size_t place) {
  static const std::vector<Factor> kFactors = layout_factors();
  return kFactors[place].values[row[place]];
}

std::int64_t number_of(const Row& row, std::size_t place) {
  return std::atoll(value_of(row, place).c_str());
}

template <class E>
E choice(const std::string& name, const std::map<std::string, E>& values) {
  return values.at(name);
}

void lay_out(TrainConfig& config, const Row& row) {
  config.parallel = {.tensor = number_of(row, kTensor),
                     .pipeline = number_of(row, kPipeline),
                     .data = number_of(row, kData),
                     .sequence = value_of(row, kSequenceParallel) == "yes",
                     .schedule = choice<ScheduleKind>(value_of(row, kSchedule),
                                                      {{"gpipe", ScheduleKind::gpipe},
                                                       {"1f1b", ScheduleKind::one_f_one_b},
                                                       {"interleaved", ScheduleKind::interleaved},
                                                       {"zero_bubble", ScheduleKind::zero_bubble}}),
                     .zero = number_of(row, kZero)};
  config.parallel.chunks = config.parallel.schedule == ScheduleKind::interleaved ? 2 : 1;
  config.numerics.tree = static_cast<int>(number_of(row, kTree));
  config.batch.micro = number_of(row, kMicro);
  if (value_of(row, kRamp) == "yes") {
    config.batch.global = 16;
    config.batch.ramp_start = 8;
    config.batch.ramp_increment = 4;
    config.batch.ramp_samples = 64;
  }
  config.numerics.batch_tokens_max = config.tokens_per_step();
}

bool is_legal(const Row& row, std::int64_t most_ranks) {
  static TrainConfig config = small_layout_config();
  static Registry registry;
  if (registry.keys().empty()) declare_train_keys(registry, config);
  lay_out(config, row);
  const ParallelConfig& p = config.parallel;
  const bool idle = (p.pipeline == 1 && p.schedule != ScheduleKind::one_f_one_b) ||
                    (p.data == 1 && p.zero > 0) || (p.tensor == 1 && p.sequence);
  const std::int64_t ranks = p.tensor * p.pipeline * p.data;
  const bool legal = !idle && ranks <= most_ranks && broken_layout_rules(config, ranks, registry).empty();
  config = small_layout_config();
  return legal;
}

}  // namespace

void MadeUpDataset::fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets,
                         std::uint8_t* loss_mask, std::int32_t* document_start) const {
  const auto draw = [&](std::int64_t position, std::uint32_t use) {
    return philox({static_cast<std::uint32_t>(sample_index), static_cast<std::uint32_t>(position), use, 99},
                  {7, 7})[0];
  };
  const bool masked = ragged_ && sample_index % 5 == 3;
  std::int32_t start = 0;
  for (std::int64_t t = 0; t < sequence_; ++t) {
    if (packed_ && t > 0 && draw(t, 0) % 9 == 0) start = static_cast<std::int32_t>(t);
    ids[t] = static_cast<std::int32_t>(draw(t, 1) % static_cast<std::uint64_t>(vocabulary_));
    targets[t] = static_cast<std::int32_t>(draw(t + 1, 1) % static_cast<std::uint64_t>(vocabulary_));
    loss_mask[t] = masked || (ragged_ && draw(t, 2) % 3 == 0) ? 0 : 1;
    document_start[t] = start;
  }
}

TrainConfig small_layout_config(const std::string& shape, std::int64_t vocabulary) {
  TrainConfig config;
  ModelConfig& model = config.model;
  model.layers = 8;
  model.hidden = 32;
  model.heads = 8;
  model.feed_forward = 64;
  model.sequence = kSequence;
  model.vocabulary = vocabulary;
  if (shape != "gpt") model.positions = Positions::rotary;
  if (shape == "neox") {
    model.parallel_residual = true;
    model.activation = Activation::gelu_erf;
    model.rotary.share = 0.5;
  }
  if (shape == "llama") {
    model.norm = Norm::rms;
    model.biases = false;
    model.activation = Activation::swiglu;
    model.kv_heads = 2;
    model.head_size = 8;  // so that even two heads have columns for a tree of 16
  }
  config.batch = {.global = 8, .micro = 1, .sequence = kSequence};
  config.schedule.steps = 100;
  config.schedule.decay = LearningRateDecay::constant;
  resolve(config);
  return config;
}

PairwiseDesign layout_design(std::int64_t most_ranks) {
  return {layout_factors(), kConstrained, [=](const Row& row) { return is_legal(row, most_ranks); }};
}

std::vector<Row> all_layout_rows() {
  std::vector<Row> rows = layout_design().rows();
  for (Row& row : layout_design(kFewRanks).rows()) {
    if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(std::move(row));
  }
  return rows;
}

LayoutCase layout_case(const Row& row) {
  LayoutCase made{.config = small_layout_config(value_of(row, kShape), number_of(row, kVocabulary)),
                  .data = nullptr};
  TrainConfig& config = made.config;
  lay_out(config, row);
  config.parallel.recompute = choice<Recompute>(
      value_of(row, kRecompute),
      {{"none", Recompute::none}, {"selective", Recompute::selective}, {"full", Recompute::full}});
  config.model.dropout = config.model.attention_dropout = std::atof(value_of(row, kDropout).c_str());
  config.model.tied_output = value_of(row, kTied) == "tied";
  config.numerics.compute = value_of(row, kType) == "bf16" ? DType::bf16 : DType::f32;
  made.data =
      std::make_unique<MadeUpDataset>(config.model.vocabulary, kSequence, value_of(row, kMasks) == "ragged",
                                      value_of(row, kDocuments) == "packed");
  made.threads = static_cast<int>(number_of(row, kThreads));
  return made;
}

std::unique_ptr<Device> device_of_rank(int threads) {
  return cpu::make_device(threads, *cpu::choose_isa());
}

}  // namespace megalith::test
