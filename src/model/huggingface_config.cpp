#include "model/huggingface_config.h"

#include <array>
#include <optional>
#include <set>
#include <utility>

#include "run/json_fields.h"

namespace megalith {
namespace {

// Keys that do not change what the model computes for a given text: training settings, names of classes,
// token ids that belong to the tokenizer, caches.
constexpr const char* kWithoutEffect[] = {"_name_or_path",
                                          "architectures",
                                          "attention_dropout",
                                          "attn_pdrop",
                                          "auto_map",
                                          "bos_token_id",
                                          "classifier_dropout",
                                          "decoder_start_token_id",
                                          "dtype",
                                          "embd_pdrop",
                                          "gradient_checkpointing",
                                          "hidden_dropout",
                                          "id2label",
                                          "initializer_factor",
                                          "initializer_range",
                                          "is_decoder",
                                          "label2id",
                                          "max_window_layers",
                                          "model_type",
                                          "n_ctx",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "output_past",
                                          "pad_token_id",
                                          "pretraining_tp",
                                          "problem_type",
                                          "reorder_and_upcast_attn",
                                          "resid_pdrop",
                                          "return_dict",
                                          "summary_activation",
                                          "summary_first_dropout",
                                          "summary_proj_to_labels",
                                          "summary_type",
                                          "summary_use_proj",
                                          "task_specific_params",
                                          "tokenizer_class",
                                          "torch_dtype",
                                          "transformers_version",
                                          "unk_token_id",
                                          "use_cache"};

constexpr std::int64_t kMostAny = std::int64_t{1} << 24;

// Reads an object key by key and remembers which were read, so that none is passed over.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& object, std::string where)
      : object_(object), fields_(object, where), where_(std::move(where)) {
    for (const char* key : kWithoutEffect) read_.insert(key);
  }
  // A null is as good as an absent key.
  bool has(const char* key) {
    read_.insert(key);
    return object_.contains(key) && !object_.at(key).is_null();
  }
  [[nodiscard]] bool contains(const char* key) const { return object_.contains(key); }
  std::int64_t integer(const char* key, std::optional<std::int64_t> otherwise = std::nullopt,
                       std::int64_t least = 1) {
    if (!has(key) && otherwise) return *otherwise;
    return fields_.integer(key, least, kMostAny);
  }
  double number(const char* key, std::optional<double> otherwise = std::nullopt) {
    if (!has(key) && otherwise) return *otherwise;
    return fields_.number(key);
  }
  bool boolean(const char* key, bool otherwise) { return has(key) ? fields_.boolean(key) : otherwise; }
  std::string text(const char* key, const char* otherwise) {
    return has(key) ? fields_.text(key) : otherwise;
  }
  // A switch of which only one position is built.
  void must_be(const char* key, bool value) {
    if (boolean(key, value) != value) fields_.bad(key, value ? "true" : "false");
  }
  [[noreturn]] void bad(const char* key, const std::string& allowed) { fields_.bad(key, allowed); }
  const nlohmann::json& object(const char* key) {
    const nlohmann::json& value = fields_.any(key);
    if (!value.is_object()) fields_.bad(key, "an object");
    return value;
  }
  [[nodiscard]] std::string where(const char* key) const { return fields_.where(key); }
  // After everything was read.
  void refuse_the_rest() const {
    for (const auto& [key, value] : object_.items()) {
      if (read_.count(key) > 0 || value.is_null()) continue;
      throw BadField{{.where = where_ + " " + in_quotes(key),
                      .found = "a setting that this program does not know and will not pass over",
                      .allowed = "the settings of gpt2, gpt_neox, llama, mistral and qwen2",
                      .nearest = ""}};
    }
  }

 private:
  const nlohmann::json& object_;
  JsonFields fields_;
  std::string where_;
  std::set<std::string> read_;
};

// One id, a list of ids, or none. Ids beyond the vocabulary, which small configs have, never come.
std::vector<std::int32_t> read_end_ids(ConfigReader& reader, const nlohmann::json& object,
                                       std::int64_t vocabulary) {
  constexpr const char* kKey = "eos_token_id";
  if (!reader.has(kKey)) return {};
  const nlohmann::json& value = object.at(kKey);
  std::vector<std::int32_t> ids;
  for (const nlohmann::json& id : value.is_array() ? value : nlohmann::json::array({value})) {
    if (!id.is_number_integer()) reader.bad(kKey, "an integer or a list of integers");
    if (id >= 0 && id < vocabulary) ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

Activation activation_of(ConfigReader& reader, const char* key, const char* otherwise) {
  const std::string name = reader.text(key, otherwise);
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
  reader.bad(key, "gelu, gelu_new, gelu_fast or gelu_pytorch_tanh");
}

// The object that says how frequencies are stretched.
void read_scaling(const nlohmann::json& object, const std::string& where, RotaryConfig& rotary) {
  ConfigReader reader(object, where);
  const char* const key = object.contains("rope_type") ? "rope_type" : "type";
  const std::string type = reader.text(key, "default");
  static_cast<void>(reader.has("rope_type"));
  static_cast<void>(reader.has("type"));
  rotary.base = reader.number("rope_theta", rotary.base);
  rotary.share = reader.number("partial_rotary_factor", rotary.share);
  if (type == "linear") {
    rotary.scaling = RotaryScaling::linear;
    rotary.factor = reader.number("factor");
  } else if (type == "llama3") {
    rotary.scaling = RotaryScaling::llama3;
    rotary.factor = reader.number("factor");
    rotary.low_frequency = reader.number("low_freq_factor");
    rotary.high_frequency = reader.number("high_freq_factor");
    rotary.original_sequence = reader.integer("original_max_position_embeddings");
  } else if (type != "default") {
    reader.bad(key,
               "default, linear or llama3: scaling that depends on the length of the text changes the bits "
               "of a prefix");
  }
  reader.refuse_the_rest();
}

void read_rotary(ConfigReader& reader, ModelConfig& model) {
  model.positions = Positions::rotary;
  model.rotary.base = reader.number("rope_theta", 10000);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (reader.has(key)) read_scaling(reader.object(key), reader.where(key), model.rotary);
  }
}

void read_gpt2(ConfigReader& reader, ModelConfig& model) {
  model.hidden = reader.integer("n_embd");
  model.layers = reader.integer("n_layer");
  model.heads = reader.integer("n_head");
  model.feed_forward = reader.integer("n_inner", 4 * model.hidden);
  model.sequence = reader.integer("n_positions");
  model.activation = activation_of(reader, "activation_function", "gelu_new");
  model.norm_epsilon = reader.number("layer_norm_epsilon", 1e-5);
  model.tied_output = reader.boolean("tie_word_embeddings", true);
  reader.must_be("scale_attn_weights", true);
  reader.must_be("scale_attn_by_inverse_layer_idx", false);
}

void read_gpt_neox(ConfigReader& reader, ModelConfig& model) {
  model.hidden = reader.integer("hidden_size");
  model.layers = reader.integer("num_hidden_layers");
  model.heads = reader.integer("num_attention_heads");
  model.feed_forward = reader.integer("intermediate_size");
  model.sequence = reader.integer("max_position_embeddings");
  model.activation = activation_of(reader, "hidden_act", "gelu");
  model.norm_epsilon = reader.number("layer_norm_eps", 1e-5);
  model.tied_output = reader.boolean("tie_word_embeddings", false);
  model.parallel_residual = reader.boolean("use_parallel_residual", true);
  read_rotary(reader, model);
  model.rotary.base = reader.number("rotary_emb_base", model.rotary.base);
  if (!reader.has("rope_parameters") || reader.has("rotary_pct"))
    model.rotary.share = reader.number("rotary_pct", 0.25);
  reader.must_be("attention_bias", true);
}

// What transformers takes where the key is absent; a null is one for each head.
std::int64_t default_kv_heads(HuggingFaceKind kind, std::int64_t heads) {
  if (kind == HuggingFaceKind::mistral) return 8;
  return kind == HuggingFaceKind::qwen2 ? 32 : heads;
}

void read_llama_like(ConfigReader& reader, HuggingFaceKind kind, ModelConfig& model) {
  model.hidden = reader.integer("hidden_size");
  model.layers = reader.integer("num_hidden_layers");
  model.heads = reader.integer("num_attention_heads");
  model.kv_heads = reader.integer("num_key_value_heads", reader.contains("num_key_value_heads")
                                                             ? model.heads
                                                             : default_kv_heads(kind, model.heads));
  model.head_size = reader.integer("head_dim", 0, 0);
  model.feed_forward = reader.integer("intermediate_size");
  model.sequence = reader.integer("max_position_embeddings");
  model.norm = Norm::rms;
  model.norm_epsilon = reader.number("rms_norm_eps", 1e-6);
  model.activation = Activation::swiglu;
  model.biases = false;
  model.tied_output = reader.boolean("tie_word_embeddings", false);
  if (reader.text("hidden_act", "silu") != "silu") reader.bad("hidden_act", "silu");
  read_rotary(reader, model);
  if (kind == HuggingFaceKind::llama) {
    reader.must_be("attention_bias", false);
    reader.must_be("mlp_bias", false);
  }
  if (kind == HuggingFaceKind::mistral) {
    constexpr std::int64_t kMistralWindow = 4096;  // where the key is absent; a null is no window
    model.attention_window =
        reader.integer("sliding_window", reader.contains("sliding_window") ? 0 : kMistralWindow);
  }
  if (kind == HuggingFaceKind::qwen2) {
    model.qkv_biases = true;
    reader.must_be("use_sliding_window", false);
    static_cast<void>(reader.has("sliding_window"));  // without effect unless it is used
  }
}

constexpr std::array<std::pair<const char*, HuggingFaceKind>, 5> kKinds = {
    {{"gpt2", HuggingFaceKind::gpt2},
     {"gpt_neox", HuggingFaceKind::gpt_neox},
     {"llama", HuggingFaceKind::llama},
     {"mistral", HuggingFaceKind::mistral},
     {"qwen2", HuggingFaceKind::qwen2}}};

HuggingFaceKind kind_of(ConfigReader& reader) {
  const std::string type = reader.text("model_type", "");
  for (const auto& [name, kind] : kKinds) {
    if (type == name) return kind;
  }
  reader.bad("model_type", "gpt2, gpt_neox, llama, mistral or qwen2");
}

// What holds for our own keys holds for other people's values too.
void check_shape(ModelConfig model, const std::string& where) {
  Registry registry;
  declare_model_keys(registry, model);
  Refusals refusals;
  for (const Key& key : registry.keys()) {
    if (key.name == "model.preset") continue;
    Assignment assignment = value_or_throw(parse_override(key.name + "=" + key.show(), registry));
    assignment.where = where;
    for (Refusal& refusal : registry.apply({assignment})) refusals.push_back(std::move(refusal));
  }
  resolve(model);
  constexpr int kAnyTree = 1;
  if (refusals.empty()) refusals = check_model(model, kAnyTree, registry);
  if (!refusals.empty()) throw BadField{refusals.front()};
}

HuggingFaceConfig read_config(const nlohmann::json& object, const std::string& where) {
  ConfigReader reader(object, where);
  HuggingFaceConfig config{.kind = kind_of(reader)};
  ModelConfig& model = config.model;
  model.vocabulary = reader.integer("vocab_size");
  switch (config.kind) {
    case HuggingFaceKind::gpt2:
      read_gpt2(reader, model);
      break;
    case HuggingFaceKind::gpt_neox:
      read_gpt_neox(reader, model);
      break;
    default:
      read_llama_like(reader, config.kind, model);
  }
  reader.must_be("is_encoder_decoder", false);
  reader.must_be("add_cross_attention", false);
  config.end_ids = read_end_ids(reader, object, model.vocabulary);
  const std::string dtype = reader.text(object.contains("dtype") ? "dtype" : "torch_dtype", "float32");
  config.stored = dtype == "bfloat16" ? DType::bf16 : DType::f32;
  if (reader.has("layer_types")) {
    const char* const wanted = model.attention_window > 0 ? "sliding_attention" : "full_attention";
    for (const nlohmann::json& layer : object.at("layer_types")) {
      if (layer != wanted) reader.bad("layer_types", fmt::format("\"{}\" in every layer", wanted));
    }
  }
  reader.refuse_the_rest();
  check_shape(model, where);
  resolve(model);
  return config;
}

}  // namespace

Expected<HuggingFaceConfig> parse_huggingface_config(std::string_view text, const std::string& where) {
  try {
    constexpr int kDeepest = 16;
    const nlohmann::json object = parse_json(text, where, kDeepest);
    if (!object.is_object()) {
      return refuse(Refusal{.where = where, .found = "no object", .allowed = "a JSON object", .nearest = ""});
    }
    return read_config(object, where);
  } catch (const BadField& bad) {
    return refuse(bad.refusal);
  }
}

}  // namespace megalith
