#include "model/huggingface_map.h"

#include <utility>

namespace megalith {
namespace {

// Collects pieces; our names begin with "layers.N.", theirs with their own prefix of the layer.
class PieceList {
 public:
  PieceList(const HuggingFaceConfig& config, std::string prefix)
      : config_(config), model_(config.model), prefix_(std::move(prefix)) {}

  std::vector<WeightPiece> run() {
    switch (config_.kind) {
      case HuggingFaceKind::gpt2:
        gpt2();
        break;
      case HuggingFaceKind::gpt_neox:
        gpt_neox();
        break;
      default:
        llama();
    }
    return std::move(pieces_);
  }

 private:
  void vector(const std::string& parameter, const std::string& source, std::int64_t count) {
    pieces_.push_back({.parameter = parameter, .source = source, .columns = count, .source_columns = count});
  }
  void matrix(const std::string& parameter, const std::string& source, std::int64_t rows,
              std::int64_t columns) {
    part(parameter, source, 0, 0, rows, columns);
  }
  // A whole stored tensor as a box of a parameter.
  void part(const std::string& parameter, const std::string& source, std::int64_t row, std::int64_t column,
            std::int64_t rows, std::int64_t columns) {
    pieces_.push_back({.parameter = parameter,
                       .source = source,
                       .row = row,
                       .column = column,
                       .rows = rows,
                       .columns = columns,
                       .source_rows = rows,
                       .source_columns = columns});
  }
  void norm(const std::string& parameter, const std::string& source) {
    vector(parameter + ".gain", source + ".weight", model_.hidden);
    if (model_.biases) vector(parameter + ".bias", source + ".bias", model_.hidden);
  }
  // Conv1D of GPT-2 stores [inputs, outputs].
  void conv1d(const std::string& parameter, const std::string& source, std::int64_t outputs,
              std::int64_t inputs) {
    pieces_.push_back({.parameter = parameter + ".weight",
                       .source = source + ".weight",
                       .rows = outputs,
                       .columns = inputs,
                       .source_rows = inputs,
                       .source_columns = outputs,
                       .transposed = true});
    vector(parameter + ".bias", source + ".bias", outputs);
  }
  void output(const std::string& source) {
    if (!model_.tied_output) matrix("head.output.weight", source, model_.vocabulary, model_.hidden);
  }
  template <class Body>
  void for_layers(const std::string& their_prefix, Body body) {
    for (std::int64_t layer = 0; layer < model_.layers; ++layer) {
      body(fmt::format("layers.{}.", layer), fmt::format("{}{}.{}.", prefix_, their_prefix, layer));
    }
  }

  void gpt2() {
    matrix("embedding.tokens", prefix_ + "wte.weight", model_.vocabulary, model_.hidden);
    matrix("embedding.positions", prefix_ + "wpe.weight", model_.sequence, model_.hidden);
    for_layers("h", [&](const std::string& ours, const std::string& theirs) {
      norm(ours + "attention.norm", theirs + "ln_1");
      conv1d(ours + "attention.qkv", theirs + "attn.c_attn", 3 * model_.hidden, model_.hidden);
      conv1d(ours + "attention.out", theirs + "attn.c_proj", model_.hidden, model_.hidden);
      norm(ours + "feed_forward.norm", theirs + "ln_2");
      conv1d(ours + "feed_forward.up", theirs + "mlp.c_fc", model_.feed_forward, model_.hidden);
      conv1d(ours + "feed_forward.down", theirs + "mlp.c_proj", model_.hidden, model_.feed_forward);
    });
    norm("head.norm", prefix_ + "ln_f");
    output("lm_head.weight");
  }

  // query_key_value has the rows of q, k and v of one head together, head after head.
  void neox_qkv(const std::string& ours, const std::string& theirs) {
    const std::int64_t size = model_.head_size;
    const std::int64_t hidden = model_.hidden;
    for (std::int64_t member = 0; member < 3; ++member) {
      pieces_.push_back({.parameter = ours + ".weight",
                         .source = theirs + ".weight",
                         .row = member * hidden,
                         .rows = hidden,
                         .columns = hidden,
                         .source_row = member * size,
                         .source_rows = 3 * hidden,
                         .source_columns = hidden,
                         .block = size,
                         .block_distance = 3 * size});
      pieces_.push_back({.parameter = ours + ".bias",
                         .source = theirs + ".bias",
                         .column = member * hidden,
                         .columns = hidden,
                         .source_column = member * size,
                         .source_columns = 3 * hidden,
                         .block = size,
                         .block_distance = 3 * size});
    }
  }

  void gpt_neox() {
    const std::int64_t hidden = model_.hidden;
    matrix("embedding.tokens", prefix_ + "embed_in.weight", model_.vocabulary, hidden);
    for_layers("layers", [&](const std::string& ours, const std::string& theirs) {
      norm(ours + "attention.norm", theirs + "input_layernorm");
      neox_qkv(ours + "attention.qkv", theirs + "attention.query_key_value");
      norm(ours + "feed_forward.norm", theirs + "post_attention_layernorm");
      matrix(ours + "feed_forward.up.weight", theirs + "mlp.dense_h_to_4h.weight", model_.feed_forward,
             hidden);
      vector(ours + "feed_forward.up.bias", theirs + "mlp.dense_h_to_4h.bias", model_.feed_forward);
      const bool parallel = model_.parallel_residual;
      part(ours + (parallel ? "out.weight" : "attention.out.weight"), theirs + "attention.dense.weight", 0, 0,
           hidden, hidden);
      part(ours + (parallel ? "out.weight" : "feed_forward.down.weight"), theirs + "mlp.dense_4h_to_h.weight",
           0, parallel ? hidden : 0, hidden, model_.feed_forward);
      vector(ours + "attention.out.bias", theirs + "attention.dense.bias", hidden);
      vector(ours + "feed_forward.down.bias", theirs + "mlp.dense_4h_to_h.bias", hidden);
    });
    norm("head.norm", prefix_ + "final_layer_norm");
    output("embed_out.weight");
  }

  void llama() {
    const std::int64_t hidden = model_.hidden;
    const std::int64_t width = model_.query_columns();
    const std::int64_t kv = model_.kv_columns();
    matrix("embedding.tokens", prefix_ + "embed_tokens.weight", model_.vocabulary, hidden);
    for_layers("layers", [&](const std::string& ours, const std::string& theirs) {
      norm(ours + "attention.norm", theirs + "input_layernorm");
      const std::pair<const char*, std::int64_t> members[] = {{"q", width}, {"k", kv}, {"v", kv}};
      std::int64_t row = 0;
      for (const auto& [member, rows] : members) {
        const std::string source = theirs + "self_attn." + member + "_proj";
        part(ours + "attention.qkv.weight", source + ".weight", row, 0, rows, hidden);
        if (model_.qkv_biases) part(ours + "attention.qkv.bias", source + ".bias", 0, row, 1, rows);
        row += rows;
      }
      matrix(ours + "attention.out.weight", theirs + "self_attn.o_proj.weight", hidden, width);
      norm(ours + "feed_forward.norm", theirs + "post_attention_layernorm");
      const std::int64_t inner = model_.feed_forward;
      part(ours + "feed_forward.up.weight", theirs + "mlp.gate_proj.weight", 0, 0, inner, hidden);
      part(ours + "feed_forward.up.weight", theirs + "mlp.up_proj.weight", inner, 0, inner, hidden);
      matrix(ours + "feed_forward.down.weight", theirs + "mlp.down_proj.weight", hidden, inner);
    });
    norm("head.norm", prefix_ + "norm");
    output("lm_head.weight");
  }

  const HuggingFaceConfig& config_;
  const ModelConfig& model_;
  std::string prefix_;
  std::vector<WeightPiece> pieces_;
};

}  // namespace

std::vector<WeightPiece> huggingface_pieces(const HuggingFaceConfig& config, const std::string& prefix) {
  return PieceList(config, prefix).run();
}

std::string_view token_table_suffix(HuggingFaceKind kind) {
  if (kind == HuggingFaceKind::gpt2) return "wte.weight";
  return kind == HuggingFaceKind::gpt_neox ? "embed_in.weight" : "embed_tokens.weight";
}

bool is_superfluous(const HuggingFaceConfig& config, std::string_view name) {
  for (const std::string_view end : {"rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
                                     "attention.bias", "attention.masked_bias"}) {
    if (name.ends_with(end)) return true;
  }
  return config.model.tied_output && (name == "lm_head.weight" || name == "embed_out.weight");
}

}  // namespace megalith
