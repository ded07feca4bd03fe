// Hugging Face folders: what config.json means, which tensor becomes which, and what is refused by name.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"
#include "infer/generator.h"
#include "model/huggingface_weights.h"
#include "model/model_fixture.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

const char* const kLlama = R"({"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64,
  "vocab_size": 61, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "torch_dtype": "bfloat16"})";
const char* const kGpt2 = R"({"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": null,
  "n_positions": 40, "vocab_size": 61, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
  "attn_pdrop": 0.1, "summary_type": "cls_index", "scale_attn_weights": true})";
const char* const kNeox = R"({"model_type": "gpt_neox", "hidden_size": 32, "num_hidden_layers": 2,
  "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 64, "vocab_size": 61,
  "hidden_act": "gelu", "rotary_pct": 0.25, "rotary_emb_base": 10000, "tie_word_embeddings": false})";
const char* const kQwen2 = R"({"model_type": "qwen2", "hidden_size": 32, "num_hidden_layers": 1,
  "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64,
  "vocab_size": 61, "rope_theta": 1e6, "tie_word_embeddings": true, "use_sliding_window": false,
  "sliding_window": 4096, "max_window_layers": 1})";

HuggingFaceConfig parsed(const std::string& text) {
  const Expected<HuggingFaceConfig> config = parse_huggingface_config(text, "config.json");
  EXPECT_TRUE(config) << to_string(config.error());
  return config ? *config : HuggingFaceConfig{};
}

// `text` with one key set to a value.
std::string with(const char* text, const char* key, nlohmann::json value) {
  nlohmann::json object = nlohmann::json::parse(text);
  object[key] = std::move(value);
  return object.dump();
}

std::string refused(const std::string& text) {
  const Expected<HuggingFaceConfig> config = parse_huggingface_config(text, "config.json");
  return config ? "accepted" : to_string(config.error());
}

TEST(HuggingFaceConfig, OfEachKindGivesItsShape) {
  const HuggingFaceConfig llama = parsed(kLlama);
  EXPECT_EQ(llama.model.norm, Norm::rms);
  EXPECT_EQ(llama.model.activation, Activation::swiglu);
  EXPECT_EQ(llama.model.kv_heads, 2);
  EXPECT_EQ(llama.model.head_size, 8);
  EXPECT_EQ(llama.model.rotary.base, 500000);
  EXPECT_FALSE(llama.model.biases);
  EXPECT_FALSE(llama.model.tied_output);
  EXPECT_EQ(llama.stored, DType::bf16);
  const HuggingFaceConfig gpt2 = parsed(kGpt2);
  EXPECT_EQ(gpt2.model.positions, Positions::learned);
  EXPECT_EQ(gpt2.model.feed_forward, 128);
  EXPECT_TRUE(gpt2.model.tied_output);
  EXPECT_EQ(gpt2.model.dropout, 0);
  const HuggingFaceConfig neox = parsed(kNeox);
  EXPECT_TRUE(neox.model.parallel_residual);
  EXPECT_EQ(neox.model.activation, Activation::gelu_erf);
  EXPECT_EQ(neox.model.rotary_features(), 2);
  const HuggingFaceConfig qwen2 = parsed(kQwen2);
  EXPECT_TRUE(qwen2.model.qkv_biases);
  EXPECT_EQ(qwen2.model.attention_window, 0);
  nlohmann::json mistral = nlohmann::json::parse(kLlama);
  mistral["model_type"] = "mistral";
  mistral["sliding_window"] = 4096;
  mistral["head_dim"] = 16;
  EXPECT_EQ(parsed(mistral.dump()).model.attention_window, 4096);
  EXPECT_EQ(parsed(mistral.dump()).model.head_size, 16);
}

TEST(HuggingFaceConfig, TakesForAnAbsentKeyWhatTransformersTakesAndForNullWhatItSays) {
  nlohmann::json mistral = nlohmann::json::parse(kLlama);
  mistral["model_type"] = "mistral";
  mistral["num_attention_heads"] = 16;
  mistral.erase("num_key_value_heads");
  EXPECT_EQ(parsed(mistral.dump()).model.attention_window, 4096);
  EXPECT_EQ(parsed(mistral.dump()).model.kv_heads, 8);
  mistral["sliding_window"] = nullptr;
  mistral["num_key_value_heads"] = nullptr;
  EXPECT_EQ(parsed(mistral.dump()).model.attention_window, 0);
  EXPECT_EQ(parsed(mistral.dump()).model.kv_heads, 16);
  nlohmann::json llama = nlohmann::json::parse(kLlama);
  llama.erase("num_key_value_heads");
  EXPECT_EQ(parsed(llama.dump()).model.kv_heads, 4);
  llama.erase("rms_norm_eps");
  llama.erase("rope_theta");
  EXPECT_EQ(parsed(llama.dump()).model.norm_epsilon, 1e-6);
  EXPECT_EQ(parsed(llama.dump()).model.rotary.base, 10000);
}

TEST(HuggingFaceConfig, SaysWhereATextEnds) {
  const auto ends = [](nlohmann::json value) {
    return parsed(with(kLlama, "eos_token_id", std::move(value))).end_ids;
  };
  EXPECT_EQ(ends(2), (std::vector<std::int32_t>{2}));
  EXPECT_EQ(ends({2, 60, 61, -1}), (std::vector<std::int32_t>{2, 60}));  // of a vocabulary of 61
  EXPECT_TRUE(ends(nullptr).empty());
  EXPECT_NE(refused(with(kLlama, "eos_token_id", "</s>")).find("eos_token_id"), std::string::npos);
}

TEST(HuggingFaceConfig, KnowsBothSpellingsOfRotaryScaling) {
  const nlohmann::json scaling = {{"rope_type", "llama3"},
                                  {"factor", 8.0},
                                  {"low_freq_factor", 1.0},
                                  {"high_freq_factor", 4.0},
                                  {"original_max_position_embeddings", 8192}};
  const ModelConfig llama3 = parsed(with(kLlama, "rope_scaling", scaling)).model;
  EXPECT_EQ(llama3.rotary.scaling, RotaryScaling::llama3);
  EXPECT_EQ(llama3.rotary.factor, 8);
  EXPECT_EQ(llama3.rotary.original_sequence, 8192);
  const nlohmann::json newer = {{"rope_type", "default"}, {"rope_theta", 1e6}};
  EXPECT_EQ(parsed(with(kLlama, "rope_parameters", newer)).model.rotary.base, 1e6);
  const nlohmann::json linear = {{"type", "linear"}, {"factor", 2.0}};
  EXPECT_EQ(parsed(with(kLlama, "rope_scaling", linear)).model.rotary.factor, 2);
}

TEST(HuggingFaceConfig, RefusesByNameWhatItCannotHonour) {
  const auto names = [](const std::string& text, const char* what) {
    const std::string message = refused(text);
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  names(with(kLlama, "clever_new_trick", 3), "clever_new_trick");
  names(with(kLlama, "attention_bias", true), "attention_bias");
  names(with(kLlama, "hidden_act", "relu"), "hidden_act");
  names(with(kLlama, "model_type", "mixtral"), "model_type");
  names(with(kLlama, "rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}), "prefix");
  names(with(kLlama, "rope_scaling", {{"type", "linear"}, {"factor", 2.0}, {"extra", 1}}), "extra");
  names(with(kLlama, "hidden_size", "many"), "hidden_size");
  names(with(kLlama, "hidden_size", -1), "hidden_size");
  names(with(kLlama, "hidden_size", 1e300), "hidden_size");
  names(with(kLlama, "layer_types", {"full_attention", "sliding_attention"}), "layer_types");
  names(with(kGpt2, "scale_attn_by_inverse_layer_idx", true), "scale_attn_by_inverse_layer_idx");
  names(with(kQwen2, "use_sliding_window", true), "use_sliding_window");
  names("[]", "object");
  names("{", "config.json");
  names("{\"model_type\": \"llama\"}", "vocab_size");
}

// A folder in /tmp with config.json and weights of seeded numbers, gone at the end.
class Folder {
 public:
  explicit Folder(const char* config) : path_(fs::temp_directory_path() / fmt::format("hf-{}", ::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
    write_file_atomically(path_ / "config.json", config);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

  // Every tensor that the config implies, each element a number of its own.
  void write_weights(const HuggingFaceConfig& config, const std::string& prefix,
                     const std::string& file = "model.safetensors", DType dtype = DType::f32) {
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const WeightPiece& piece : huggingface_pieces(config, prefix)) {
      shapes[piece.source] = piece.source_rows == 1 && piece.rows == 1
                                 ? std::vector<std::int64_t>{piece.source_columns}
                                 : std::vector<std::int64_t>{piece.source_rows, piece.source_columns};
    }
    write(shapes, file, dtype);
  }
  void write(const std::map<std::string, std::vector<std::int64_t>>& shapes, const std::string& file,
             DType dtype = DType::f32) {
    std::vector<TensorDeclaration> declarations;
    for (const auto& [name, shape] : shapes) declarations.push_back({name, dtype, shape});
    SafetensorsWriter writer(path_ / file, declarations, {});
    for (const auto& [name, shape] : shapes) {
      std::int64_t count = 1;
      for (const std::int64_t extent : shape) count *= extent;
      std::vector<float>& values = values_[name];
      for (std::int64_t i = 0; i < count; ++i)
        values.push_back(static_cast<float>(next_++ % 8191) * 1e-3f - 4);
      if (dtype == DType::f32) {
        writer.append(Tensor(values.data(), DType::f32, {count}));
        continue;
      }
      std::vector<bf16> rounded;
      for (const float value : values) rounded.push_back(to_bf16(value));
      rounded.back() = bf16{0xff81};  // a NaN with a sign and a payload
      writer.append(Tensor(rounded.data(), DType::bf16, {count}));
    }
    static_cast<void>(writer.finish());
  }
  [[nodiscard]] float value(const std::string& name, std::int64_t i) const {
    return values_.at(name).at(static_cast<std::size_t>(i));
  }

 private:
  fs::path path_;
  std::map<std::string, std::vector<float>> values_;
  std::int64_t next_ = 0;
};

struct Loaded {
  explicit Loaded(const Folder& folder)
      : stored(value_or_throw(HuggingFaceModel::open(folder.path()))),
        parameters(Transformer::specs(stored.config().model, test::small_profile(DType::f32, 32)), DType::f32,
                   Parameters::Use::inference) {
    for (const Parameter& p : parameters.all()) {
      std::fill_n(p.master.as<float>(), p.logical_count(), 1e30f);  // nothing may be left of it
    }
    stored.load(parameters);
  }
  [[nodiscard]] float at(const std::string& name, std::int64_t row, std::int64_t column) const {
    return parameters.named(name).master.row<float>(row)[column];
  }
  void expect_every_element_was_written() const {
    for (const Parameter& p : parameters.all()) {
      const float* master = p.master.as<float>();
      EXPECT_EQ(std::count(master, master + p.logical_count(), 1e30f), 0) << p.spec.name;
    }
  }
  HuggingFaceModel stored;
  Parameters parameters;
};

TEST(HuggingFaceWeights, OfGpt2AreTransposed) {
  Folder folder(kGpt2);
  folder.write_weights(parsed(kGpt2), "transformer.");
  const Loaded loaded(folder);
  loaded.expect_every_element_was_written();
  // Stored [inputs, outputs]: output 70 of input 3 stands at row 3, column 70 of 96.
  EXPECT_EQ(loaded.at("layers.1.attention.qkv.weight", 70, 3),
            folder.value("transformer.h.1.attn.c_attn.weight", 3 * 96 + 70));
  EXPECT_EQ(loaded.at("layers.0.feed_forward.down.weight", 5, 100),
            folder.value("transformer.h.0.mlp.c_proj.weight", 100 * 32 + 5));
  EXPECT_EQ(loaded.at("embedding.positions", 39, 31), folder.value("transformer.wpe.weight", 39 * 32 + 31));
}

TEST(HuggingFaceWeights, OfNeoxAreSortedByMemberAndBothOutputsStandSideBySide) {
  Folder folder(kNeox);
  folder.write_weights(parsed(kNeox), "gpt_neox.");
  const Loaded loaded(folder);
  loaded.expect_every_element_was_written();
  // Heads of 8: key row 2 of head 3 is stored in row (3 * 3 + 1) * 8 + 2 and belongs to row 32 + 3 * 8 + 2.
  const std::string theirs = "gpt_neox.layers.1.attention.query_key_value.";
  EXPECT_EQ(loaded.at("layers.1.attention.qkv.weight", 58, 7), folder.value(theirs + "weight", 82 * 32 + 7));
  EXPECT_EQ(loaded.at("layers.1.attention.qkv.bias", 0, 58), folder.value(theirs + "bias", 82));
  EXPECT_EQ(loaded.at("layers.0.out.weight", 4, 6),
            folder.value("gpt_neox.layers.0.attention.dense.weight", 4 * 32 + 6));
  EXPECT_EQ(loaded.at("layers.0.out.weight", 4, 32 + 6),
            folder.value("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", 4 * 128 + 6));
}

TEST(HuggingFaceWeights, OfLlamaAndQwenAreStacked) {
  for (const char* config : {kLlama, kQwen2}) {
    Folder folder(config);
    folder.write_weights(parsed(config), "model.");
    const Loaded loaded(folder);
    loaded.expect_every_element_was_written();
    EXPECT_EQ(loaded.at("layers.0.attention.qkv.weight", 32 + 16 + 5, 9),
              folder.value("model.layers.0.self_attn.v_proj.weight", 5 * 32 + 9));
    EXPECT_EQ(loaded.at("layers.0.feed_forward.up.weight", 48 + 7, 9),
              folder.value("model.layers.0.mlp.up_proj.weight", 7 * 32 + 9));
    if (config == kQwen2) {
      EXPECT_EQ(loaded.at("layers.0.attention.qkv.bias", 0, 32 + 3),
                folder.value("model.layers.0.self_attn.k_proj.bias", 3));
    }
  }
}

std::vector<std::pair<const char*, DType>> kinds_by_stored_type() {
  std::vector<std::pair<const char*, DType>> kinds;
  for (const char* text : {kGpt2, kNeox, kLlama, kQwen2}) {
    for (const DType dtype : {DType::f32, DType::bf16}) kinds.emplace_back(text, dtype);
  }
  return kinds;
}

TEST(HuggingFaceWeights, InBf16AreKeptOnceAndRoundedAsTrainingRoundsThem) {
  for (const auto& [text, dtype] : kinds_by_stored_type()) {
    Folder folder(text);
    const HuggingFaceConfig config = parsed(text);
    folder.write_weights(config, "", "model.safetensors", dtype);
    const HuggingFaceModel stored = value_or_throw(HuggingFaceModel::open(folder.path()));
    const std::vector<ParameterSpec> specs =
        Transformer::specs(config.model, test::small_profile(DType::bf16, 32));
    Parameters once(specs, DType::bf16, Parameters::Use::inference);
    Parameters twice(specs, DType::bf16, Parameters::Use::training);
    const std::unique_ptr<Device> device = cpu::make_device(1, cpu::available_isas().back());
    for (Parameters* parameters : {&once, &twice}) {
      stored.load(*parameters);
      parameters->refresh_working(*device);
    }
    for (const Parameter& p : once.all()) {
      EXPECT_EQ(p.master.empty(), p.spec.is_matrix) << p.spec.name;
      const Tensor expected = twice.named(p.spec.name).working;
      const std::size_t bytes = static_cast<std::size_t>(expected.count()) * size_of(expected.dtype);
      EXPECT_EQ(std::memcmp(p.working.data, expected.data, bytes), 0) << p.spec.name;
    }
  }
}

// Bytes of logical rows [first, first + count) as they stand in memory.
std::vector<std::byte> bytes_of(const Tensor& rows) {
  std::vector<std::byte> bytes(rows.size_in_bytes());
  std::memcpy(bytes.data(), rows.data, bytes.size());
  return bytes;
}

TEST(HuggingFaceWeights, SomeRowsAtATimeAreThoseThatLoadingAllGives) {
  for (const auto& [text, stored_as] : kinds_by_stored_type()) {
    for (const DType compute : {DType::f32, DType::bf16}) {
      Folder folder(text);
      const HuggingFaceConfig config = parsed(text);
      folder.write_weights(config, "", "model.safetensors", stored_as);
      const HuggingFaceModel stored = value_or_throw(HuggingFaceModel::open(folder.path()));
      const Parameters all(Transformer::specs(config.model, test::small_profile(compute, 32)), compute,
                           Parameters::Use::inference);
      stored.load(all);
      for (const Parameter& p : all.all()) {
        const Tensor& expected = p.master.empty() ? p.working : p.master;
        for (const std::int64_t together : {std::int64_t{1}, std::int64_t{7}, p.spec.rows}) {
          for (std::int64_t first = 0; first < p.spec.rows; first += together) {
            const std::int64_t count = std::min(together, p.spec.rows - first);
            std::vector<float> memory(static_cast<std::size_t>(count * p.spec.columns), 1e30f);
            const Tensor rows(memory.data(), expected.dtype, {count, p.spec.columns});
            stored.read_rows(p, first, rows);
            ASSERT_EQ(bytes_of(rows), bytes_of(expected.row_slice(first, count)))
                << p.spec.name << " rows " << first << " of " << text;
            stored.rows_done(p, first, count);
          }
        }
      }
    }
  }
}

// The file gives fewer bytes than are asked for; its map has those that are left, and zeros on their page.
TEST(HuggingFaceWeights, OfAFileThatHasShrunkSinceItWasOpenedAreThoseThatAreLeft) {
  constexpr std::uintmax_t kCut = 33;  // elements: the last norm's gain, and one of the matrix before it
  Folder folder(kLlama);
  const HuggingFaceConfig config = parsed(kLlama);
  folder.write_weights(config, "", "model.safetensors", DType::bf16);
  const HuggingFaceModel stored = value_or_throw(HuggingFaceModel::open(folder.path()));
  const Parameters whole(Transformer::specs(config.model, test::small_profile(DType::bf16, 32)), DType::bf16,
                         Parameters::Use::inference);
  stored.load(whole);
  const fs::path file = folder.path() / "model.safetensors";
  const std::uintmax_t size = fs::file_size(file);
  ASSERT_GT(size % 4096, 2 * kCut) << "what is cut off must not be a page";
  fs::resize_file(file, size - 2 * kCut);
  std::uintmax_t different = 0;
  for (const Parameter& p : whole.all()) {
    const Tensor& expected = p.master.empty() ? p.working : p.master;
    std::vector<float> memory(static_cast<std::size_t>(p.logical_count()));
    const Tensor rows(memory.data(), expected.dtype, {p.spec.rows, p.spec.columns});
    stored.read_rows(p, 0, rows);
    const std::size_t element = size_of(expected.dtype);
    const std::vector<std::byte> found = bytes_of(rows);
    for (std::size_t i = 0; i < found.size(); i += element)
      different += std::memcmp(&found[i], static_cast<std::byte*>(expected.data) + i, element) != 0 ? 1 : 0;
  }
  EXPECT_EQ(different, kCut);
}

std::string open_refused(const Folder& folder) {
  const Expected<HuggingFaceModel> model = HuggingFaceModel::open(folder.path());
  return model ? "accepted" : to_string(model.error());
}

TEST(HuggingFaceWeights, ThatAreMissingForeignOrOfAnotherShapeAreNamed) {
  Folder folder(kLlama);
  EXPECT_NE(open_refused(folder).find("no weights"), std::string::npos);
  write_file_atomically(folder.path() / "pytorch_model.bin", "x");
  EXPECT_NE(open_refused(folder).find("pickle"), std::string::npos);
  folder.write({{"model.embed_tokens.weight", {61, 33}}, {"surprise", {2}}}, "model.safetensors");
  const std::string message = open_refused(folder);
  EXPECT_NE(message.find("[61, 33]"), std::string::npos) << message;
  EXPECT_NE(message.find("model.layers.0.self_attn.q_proj.weight: found no such tensor"), std::string::npos)
      << message;
  fs::resize_file(folder.path() / "model.safetensors", 100);
  EXPECT_NE(open_refused(folder).find("model.safetensors"), std::string::npos);
}

TEST(HuggingFaceWeights, InShardsAreReadByTheirIndexWhichNamesOnlyFilesBesideIt) {
  Folder folder(kLlama);
  folder.write_weights(parsed(kLlama), "model.", "part-1.safetensors");
  const auto index = [&](const nlohmann::json& map) {
    write_file_atomically(folder.path() / "model.safetensors.index.json",
                          nlohmann::json{{"weight_map", map}}.dump());
  };
  index({{"model.norm.weight", "part-1.safetensors"}});
  EXPECT_EQ(open_refused(folder), "accepted");
  index({{"model.norm.weight", "../part-1.safetensors"}});
  EXPECT_NE(open_refused(folder).find("weight_map"), std::string::npos);
  index({{"model.norm.weight", 3}});
  EXPECT_NE(open_refused(folder).find("weight_map"), std::string::npos);
  folder.write({{"model.norm.weight", {32}}}, "part-2.safetensors");
  index({{"a", "part-1.safetensors"}, {"b", "part-2.safetensors"}});
  EXPECT_NE(open_refused(folder).find("another shard"), std::string::npos);
}

TEST(HuggingFaceWeights, OfStories260KGiveTheTextAndLogProbabilitiesOfAnIndependentProgram) {
  const fs::path shared = fs::path(MEGALITH_SHARED_DIR) / "data/weights/stories260K";
  if (!fs::exists(shared / "hf/config.json")) GTEST_SKIP() << shared << " is not there";
  const nlohmann::json expected =
      nlohmann::json::parse(value_or_throw(read_file(shared / "expected_greedy.json", 1 << 20)));
  const HuggingFaceModel stored = value_or_throw(HuggingFaceModel::open(shared / "hf"));
  NumericsProfile profile;
  profile.compute = DType::f32;
  profile.tree = largest_tree(stored.config().model, 8);
  profile.grain = 32;
  EXPECT_EQ(profile.tree, 4);  // a feed-forward of 172
  const std::unique_ptr<Device> device = cpu::make_device(2, cpu::available_isas().back());
  Parameters parameters(Transformer::specs(stored.config().model, profile), DType::f32,
                        Parameters::Use::inference);
  stored.load(parameters);
  const Transformer transformer(stored.config().model, profile, parameters);
  Generator generator(*device, transformer, profile, 1);
  const auto ids = expected["token_ids"].get<std::vector<std::int32_t>>();
  generator.prefill(std::span(ids).first(1), 1);
  const auto first_logits = expected["first_step_logits"].get<std::vector<double>>();
  for (std::size_t v = 0; v < first_logits.size(); ++v)
    ASSERT_NEAR(generator.logits(0)[v], first_logits[v], 1e-4) << v;
  for (std::size_t i = 1; i < ids.size(); ++i) {
    ASSERT_EQ(most_likely(generator.logits(0)), ids[i]) << "token " << i;
    ASSERT_NEAR(generator.log_probability(0, ids[i]), expected["greedy_logprobs"][i - 1].get<double>(), 2e-5);
    generator.decode(std::span(ids).subspan(i, 1));
  }
}

}  // namespace
}  // namespace megalith
