#include "model/model_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "config/load.h"

namespace megalith {
namespace {

const std::filesystem::path kModels = std::filesystem::path(MEGALITH_SOURCE_DIR) / "configs" / "models";

ModelConfig preset(const std::string& name) {
  ModelConfig config;
  Registry registry;
  declare_model_keys(registry, config);
  const PresetRule rule{.key = "model.preset", .prefix = "model.", .folders = {kModels}};
  const std::string text = "model.preset=" + name;
  const auto loaded = load_config(registry, "", std::span(&text, 1), rule);
  EXPECT_TRUE(loaded) << to_string(loaded.error());
  resolve(config);
  const Refusals refusals = check_model(config, 8, registry);
  EXPECT_TRUE(refusals.empty()) << to_string(refusals);
  return config;
}

TEST(ModelPresets, HaveTheExactPublishedParameterCounts) {
  EXPECT_EQ(parameter_count(preset("gpt2-124m")), 124'439'808);
  EXPECT_EQ(parameter_count(preset("gpt2-355m")), 354'823'168);
  EXPECT_EQ(parameter_count(preset("gpt2-774m")), 774'030'080);
  EXPECT_EQ(parameter_count(preset("gpt2-1.5b")), 1'557'611'200);
  EXPECT_EQ(parameter_count(preset("mt-nlg-530b")), 529'600'819'200);
}

TEST(ModelPresets, OfOtherFamiliesHaveTheExactPublishedParameterCountsToo) {
  const std::pair<const char*, std::int64_t> published[] = {
      {"llama-7b", 6'738'415'616},     {"llama-13b", 13'015'864'320},  {"llama-33b", 32'528'943'616},
      {"llama-65b", 65'285'660'672},   {"llama2-7b", 6'738'415'616},   {"llama2-70b", 68'976'648'192},
      {"llama3-8b", 8'030'261'248},    {"llama3-70b", 70'553'706'496}, {"llama3.1-405b", 405'853'388'800},
      {"llama3.2-1b", 1'235'814'400},  {"mistral-7b", 7'241'732'096},  {"qwen2-0.5b", 494'032'768},
      {"qwen2-1.5b", 1'543'714'304},   {"qwen2-7b", 7'615'616'512},    {"qwen2-72b", 72'706'203'648},
      {"gpt-neox-20b", 20'554'567'680}};
  for (const auto& [name, count] : published) EXPECT_EQ(parameter_count(preset(name)), count) << name;
}

// Published as 8.3 and 17 billion, with the layers and widths: what those have is counted here once more.
TEST(ModelPresets, MegatronAndTuringHaveExactlyWhatTheirPublishedShapesHave) {
  const auto gpt2 = [](std::int64_t layers, std::int64_t hidden, std::int64_t vocabulary) {
    const std::int64_t block = 12 * hidden * hidden + 13 * hidden;  // products with biases, two norms
    return layers * block + 2 * hidden + (vocabulary + 1024) * hidden;
  };
  EXPECT_EQ(parameter_count(preset("megatron-8.3b")), 8'317'040'640);
  EXPECT_EQ(gpt2(72, 3072, 51200), 8'317'040'640);
  EXPECT_EQ(parameter_count(preset("turing-nlg-17b")), 17'176'845'728);
  EXPECT_EQ(gpt2(78, 4256, 50257), 17'176'845'728);
}

TEST(ModelPresets, MtNlgHasThePublishedPartsAndKnowsWhatItsPaddingIs) {
  ModelConfig config = preset("mt-nlg-530b");
  EXPECT_EQ(config.vocabulary * config.hidden, 1'048'576'000);
  EXPECT_EQ(config.sequence * config.hidden, 41'943'040);
  EXPECT_EQ(config.head_size, 160);
  config.vocabulary = 50257;
  EXPECT_EQ(parameter_count(config), 529'581'506'560);
}

TEST(ModelPresets, Gpt3CountsRoundToThePrintedOnes) {
  const auto millions = [](const char* name) {
    return std::round(static_cast<double>(parameter_count(preset(name))) / 1e6);
  };
  const auto billions = [](const char* name, double digits) {
    return std::round(static_cast<double>(parameter_count(preset(name))) / 1e9 * digits) / digits;
  };
  EXPECT_EQ(millions("gpt3-125m"), 125);
  EXPECT_EQ(millions("gpt3-350m"), 356);
  EXPECT_EQ(millions("gpt3-760m"), 760);
  EXPECT_EQ(billions("gpt3-1.3b", 100), 1.32);
  EXPECT_EQ(billions("gpt3-2.7b", 100), 2.65);
  EXPECT_EQ(billions("gpt3-6.7b", 100), 6.66);
  EXPECT_EQ(billions("gpt3-13b", 100), 12.85);
  EXPECT_EQ(billions("gpt3-175b", 10), 174.6);
}

TEST(ModelPresets, EveryFileInTheFolderIsReadWithoutAComplaint) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kModels)) {
    preset(entry.path().stem().string());
    ++files;
  }
  EXPECT_EQ(files, 31);
}

TEST(ParameterCount, IsTheSumOfTheTensors) {
  for (const bool biases : {false, true}) {
    for (const bool tied : {false, true}) {
      ModelConfig config{.layers = 3,
                         .hidden = 48,
                         .heads = 4,
                         .feed_forward = 80,
                         .sequence = 17,
                         .vocabulary = 509,
                         .biases = biases,
                         .tied_output = tied};
      resolve(config);
      const auto tensors = tensor_shapes(config);
      std::set<std::string> names;
      std::int64_t sum = 0;
      for (const TensorShape& tensor : tensors) {
        names.insert(tensor.name);
        sum += tensor.count();
      }
      EXPECT_EQ(sum, parameter_count(config));
      EXPECT_EQ(names.size(), tensors.size());
      EXPECT_EQ(names.count("head.output.weight"), tied ? 0U : 1U);
      EXPECT_EQ(names.count("layers.2.attention.qkv.bias"), biases ? 1U : 0U);
    }
  }
}

TEST(PaddedVocabulary, IsTheNextMultipleOfSixteenLeaves) {
  const auto padded = [](std::int64_t vocabulary, int tree) {
    return padded_vocabulary({.vocabulary = vocabulary}, tree);
  };
  EXPECT_EQ(padded(50257, 8), 50304);
  EXPECT_EQ(padded(51200, 8), 51200);
  EXPECT_EQ(padded(512, 8), 512);
  EXPECT_EQ(padded(509, 8), 512);
  EXPECT_EQ(padded(1, 8), 128);
  EXPECT_EQ(padded(1, 1), 16);
  EXPECT_EQ(padded(1 << 24, 64), 1 << 24);
}

TEST(InitDeviation, FollowsThePapers) {
  const ModelConfig gpt2 = preset("gpt2-124m");
  EXPECT_EQ(init_deviation(gpt2), 0.02);
  EXPECT_DOUBLE_EQ(residual_init_deviation(gpt2), 0.02 / std::sqrt(24.0));
  const ModelConfig mt_nlg = preset("mt-nlg-530b");
  EXPECT_NEAR(init_deviation(mt_nlg), 4.034e-3, 5e-7);
  EXPECT_DOUBLE_EQ(residual_init_deviation(mt_nlg), init_deviation(mt_nlg) / std::sqrt(210.0));
  EXPECT_EQ(init_deviation({.init_std = 0.5}), 0.5);
}

TEST(TrainingFlops, OfMtNlgGiveThePublishedTotals) {
  const ModelConfig config = preset("mt-nlg-530b");
  const TokenFlops palm = training_flops_palm(config, 2048);
  EXPECT_EQ(palm.flops, 6 * 529'600'819'200 + 12LL * 105 * 20480 * 2048);
  EXPECT_NEAR(static_cast<double>(palm.flops) * 270e9, 8.72e23, 0.005e23);
  // 72 L h^2 (1 + s / (6 h) + V / (12 L h)) counts the full square of attention; the half of it goes.
  const double layers = 105;
  const double hidden = 20480;
  const double full =
      72 * layers * hidden * hidden * (1 + 2048 / (6 * hidden) + 51200 / (12 * layers * hidden));
  const double half_of_attention = 6 * layers * hidden * 2048;
  EXPECT_NEAR(static_cast<double>(training_flops_causal(config, 2048).flops), full - half_of_attention,
              1e-9 * full);
}

TEST(TrainingFlops, FormulasShowTheirNumbers) {
  const ModelConfig config = preset("gpt2-124m");
  EXPECT_EQ(training_flops_palm(config, 1024).formula,
            "6 parameters + 12 layers x heads x head size x sequence = 6 x 124,439,808 + 12 x 12 x 12 x 64 x "
            "1024 = "
            "859,885,056 FLOP per token (PaLM convention)");
  EXPECT_NE(training_flops_causal(config, 1024).formula.find("12 x 7,077,888 + 768 x 50257"),
            std::string::npos);
}

TEST(CheckModel, RefusesShapesThatDoNotDivideWithTheNearestThatDo) {
  ModelConfig config{.hidden = 100, .heads = 3, .feed_forward = 30};
  Registry registry;
  declare_model_keys(registry, config);
  const Refusals refusals = check_model(config, 8, registry);
  ASSERT_EQ(refusals.size(), 3U) << to_string(refusals);
  EXPECT_EQ(to_string(refusals[0]),
            "model.hidden: found 100; allowed: a multiple of numerics.tree = 8; try: 96 or 104, or "
            "numerics.tree = 4");
  EXPECT_EQ(refusals[1].nearest, "24 or 32, or numerics.tree = 2");
  EXPECT_EQ(to_string(refusals[2]),
            "model.heads: found 3; allowed: a divisor of model.hidden = 100 with an even head size of at "
            "most 256, or model.head_size given; try: 2 or 5");
}

TEST(CheckModel, HeadsMayBeFewerThanTreeLeaves) {
  for (const std::int64_t heads : {1, 2, 4, 8, 16, 32}) {
    ModelConfig config{.hidden = 64, .heads = heads};
    resolve(config);
    Registry registry;
    declare_model_keys(registry, config);
    EXPECT_TRUE(check_model(config, 8, registry).empty()) << heads;
  }
  for (const std::int64_t heads : {64, 3, 128}) {
    ModelConfig config{.hidden = 64, .heads = heads};
    resolve(config);
    Registry registry;
    declare_model_keys(registry, config);
    EXPECT_EQ(check_model(config, 8, registry).size(), 1U) << heads;
  }
}

}  // namespace
}  // namespace megalith
