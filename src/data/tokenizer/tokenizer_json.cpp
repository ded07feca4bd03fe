// tokenizer.json, as Hugging Face's `tokenizers` writes it for byte-level BPE. What is accepted, by key:
//   version               ignored
//   truncation, padding   null
//   added_tokens          [{id, content, special, normalized, single_word, lstrip, rstrip}]
//   normalizer, pre_tokenizer, post_processor, decoder
//                         see pipeline_json.cpp
//   model                 {"type": "BPE" or absent, "vocab": {...}, "merges": ["a b" or ["a", "b"], ...],
//                         "ignore_merges": true or false}, and every other option of BPE off
// Every other key or value could change ids and is refused.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "data/tokenizer/json_checks.h"
#include "data/tokenizer/pipeline_json.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/strict_json.h"
#include "data/tokenizer/tokenizer_model.h"
#include "data/tokenizer/vocabulary_files.h"

namespace megalith {
namespace {

using Json = nlohmann::json;

class TokenizerJsonReader {
 public:
  explicit TokenizerJsonReader(std::string_view name) : parts_(name), checks_(parts_) {}

  Expected<Tokenizer> read(const Json& document) && {
    if (!document.is_object()) {
      parts_.refuse_because("document", kind_of(document), "an object");
      return std::move(parts_).finish();
    }
    checks_.check_keys(document, "",
                       {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                        "post_processor", "decoder", "model"});
    for (const char* key : {"truncation", "padding"}) checks_.require_absent(document, key);
    read_pipeline(document, parts_);
    if (document.contains("added_tokens")) read_added_tokens(document["added_tokens"]);
    const auto model = document.find("model");
    if (model == document.end() || !model->is_object()) {
      parts_.refuse_because("model", model == document.end() ? "nothing" : kind_of(*model), "an object",
                            "the folder, if this is GPT-2's vocab.json");
    } else {
      read_model(*model);
    }
    return std::move(parts_).finish();
  }

 private:
  void read_added_tokens(const Json& list) {
    if (list.is_null()) return;
    if (!list.is_array()) {
      parts_.refuse_because("added_tokens", kind_of(list), "an array");
      return;
    }
    for (std::size_t i = 0; i < list.size(); ++i)
      read_added_token(list[i], fmt::format("added_tokens[{}]", i));
  }

  void read_added_token(const Json& token, const std::string& where) {
    if (!token.is_object()) {
      parts_.refuse_because(where, kind_of(token), "an object");
      return;
    }
    checks_.check_keys(token, where + ".",
                       {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    const auto content = token.find("content");
    const auto id = token.find("id");
    if (content == token.end() || !content->is_string() || content->get_ref<const std::string&>().empty()) {
      parts_.refuse_because(where + ".content", content == token.end() ? "nothing" : kind_of(*content),
                            "a text");
    } else if (id == token.end() || !id->is_number_unsigned() ||
               id->get<std::uint64_t>() >= kLargestVocabulary) {
      parts_.refuse_because(where + ".id", id == token.end() ? "nothing" : kind_of(*id),
                            "an id: an integer from 0");
    } else {
      parts_.add_token({.id = static_cast<std::int32_t>(id->get<std::uint64_t>()),
                        .special = checks_.read_boolean(token, where, "special", false),
                        .second_pass = checks_.read_boolean(token, where, "normalized", true),
                        .single_word = checks_.read_boolean(token, where, "single_word", false),
                        .lstrip = checks_.read_boolean(token, where, "lstrip", false),
                        .rstrip = checks_.read_boolean(token, where, "rstrip", false)},
                       content->get<std::string>());
    }
  }

  void read_model(const Json& model) {
    checks_.check_keys(model, "model.",
                       {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                        "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"});
    const auto type = model.find("type");
    if (type != model.end() && *type != "BPE") {
      parts_.refuse_because("model.type", kind_of(*type), "\"BPE\"");
      return;
    }
    for (const char* key : {"dropout", "unk_token"}) checks_.require_absent(model, key, "model.");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto value = model.find(key);
      if (value == model.end() || value->is_null() || *value == "") continue;
      parts_.refuse_because(std::string("model.") + key, kind_of(*value), "null or an empty text");
    }
    // fuse_unk speaks of unknown characters, and a vocabulary with all bytes has none.
    checks_.read_boolean(model, "model", "fuse_unk", false);
    checks_.require_boolean(model, "model", "byte_fallback", false, false);
    parts_.parts().whole_pieces = checks_.read_boolean(model, "model", "ignore_merges", false);
    const auto vocabulary = model.find("vocab");
    const auto merges = model.find("merges");
    if (vocabulary == model.end() || !vocabulary->is_object()) {
      parts_.refuse_because("model.vocab", vocabulary == model.end() ? "nothing" : kind_of(*vocabulary),
                            "an object");
    } else if (merges == model.end() || !merges->is_array()) {
      parts_.refuse_because("model.merges", merges == model.end() ? "nothing" : kind_of(*merges), "an array");
    } else {
      parts_.read_vocabulary(*vocabulary, "model.vocab");
      // Merges of a vocabulary that has problems would only repeat them.
      if (!parts_.any_problem()) read_merges(*merges);
    }
  }

  void read_merges(const Json& merges) {
    for (std::size_t i = 0; i < merges.size(); ++i) {
      const Json& merge = merges[i];
      const std::string where = fmt::format("model.merges[{}]", i);
      if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const std::size_t space = text.find(' ');
        if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
          parts_.add_merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1),
                           where);
          continue;
        }
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        parts_.add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(),
                         where);
        continue;
      }
      parts_.refuse_because(where, kind_of(merge), "\"a b\" or [\"a\", \"b\"]");
    }
  }

  PartsReader parts_;
  JsonChecks checks_;
};

}  // namespace

Expected<Tokenizer> Tokenizer::parse_json(std::string_view text, std::string_view name) {
  Expected<Json> document = parse_strict_json(text, name);
  if (!document) return refuse(std::move(document).error());
  return TokenizerJsonReader(name).read(*document);
}

}  // namespace megalith
