// tokenizer.json, as Hugging Face's `tokenizers` writes it for byte-level BPE. What is accepted, by key:
//   version               ignored
//   truncation, padding   null
//   added_tokens          [{id, content, special, normalized, single_word/lstrip/rstrip false}]
//   normalizer            null
//   pre_tokenizer         {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true or absent}
//   post_processor        null or ByteLevel (which moves offsets, not ids)
//   decoder               null or ByteLevel
//   model                 {"type": "BPE" or absent, "vocab": {...}, "merges": ["a b" or ["a", "b"], ...]},
//   and
//                         every other option of BPE off
// Every other key or value could change ids and is refused.
#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/strict_json.h"
#include "data/tokenizer/tokenizer_model.h"
#include "data/tokenizer/vocabulary_files.h"

namespace megalith {
namespace {

using Json = nlohmann::json;

class TokenizerJsonReader {
 public:
  explicit TokenizerJsonReader(std::string_view name) : parts_(name) {}

  Expected<Tokenizer> read(const Json& document) && {
    if (!document.is_object()) {
      parts_.refuse_because("document", kind_of(document), "an object");
      return std::move(parts_).finish();
    }
    check_keys(document, "",
               {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                "post_processor", "decoder", "model"});
    for (const char* key : {"truncation", "padding", "normalizer"}) require_absent(document, key);
    read_pre_tokenizer(document.contains("pre_tokenizer") ? document["pre_tokenizer"] : Json());
    for (const char* key : {"post_processor", "decoder"}) require_byte_level_or_null(document, key);
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
  void check_keys(const Json& object, const std::string& prefix,
                  std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      parts_.refuse_because(prefix + quoted_for_message(key), "an unknown key",
                            "no key that could change ids");
    }
  }

  void require_absent(const Json& object, const char* key) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null()) return;
    parts_.refuse_because(key, describe(*value), "null");
  }

  // "Sequence" for {"type": "Sequence", ...}: the refusal calls the thing by its name.
  static std::string describe(const Json& value) {
    if (value.is_object() && value.contains("type")) return kind_of(value["type"]);
    return kind_of(value);
  }

  static bool is_of_type(const Json& value, std::string_view type) {
    return value.is_object() && value.contains("type") && value["type"] == type;
  }

  void require_byte_level_or_null(const Json& object, const char* key) {
    const auto value = object.find(key);
    if (value == object.end() || value->is_null() || is_of_type(*value, "ByteLevel")) return;
    parts_.refuse_because(key, describe(*value), "null or ByteLevel");
  }

  void read_pre_tokenizer(const Json& value) {
    if (!is_of_type(value, "ByteLevel")) {
      parts_.refuse_because("pre_tokenizer", describe(value), "ByteLevel with GPT-2's pattern");
      return;
    }
    check_keys(value, "pre_tokenizer.", {"type", "add_prefix_space", "use_regex", "trim_offsets"});
    require_boolean(value, "pre_tokenizer", "add_prefix_space", false, false);
    require_boolean(value, "pre_tokenizer", "use_regex", true, true);
  }

  // `key` of `object` must be `required`; when it is absent it counts as `absent`.
  void require_boolean(const Json& object, const std::string& where, const char* key, bool required,
                       bool absent) {
    const auto value = object.find(key);
    if (value == object.end() ? absent == required : *value == required) return;
    parts_.refuse_because(where + "." + key, value == object.end() ? "nothing" : kind_of(*value),
                          required ? "true" : "false");
  }

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
    check_keys(token, where + ".",
               {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    for (const char* key : {"single_word", "lstrip", "rstrip"})
      require_boolean(token, where, key, false, false);
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
                        .special = read_boolean(token, where, "special", false),
                        .second_pass = read_boolean(token, where, "normalized", true)},
                       content->get<std::string>());
    }
  }

  bool read_boolean(const Json& object, const std::string& where, const char* key, bool absent) {
    const auto value = object.find(key);
    if (value == object.end()) return absent;
    if (value->is_boolean()) return value->get<bool>();
    parts_.refuse_because(where + "." + key, kind_of(*value), "true or false");
    return absent;
  }

  void read_model(const Json& model) {
    check_keys(model, "model.",
               {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                "byte_fallback", "ignore_merges", "vocab", "merges"});
    const auto type = model.find("type");
    if (type != model.end() && *type != "BPE") {
      parts_.refuse_because("model.type", kind_of(*type), "\"BPE\"");
      return;
    }
    for (const char* key : {"dropout", "unk_token"}) {
      const auto value = model.find(key);
      if (value != model.end() && !value->is_null())
        parts_.refuse_because(std::string("model.") + key, kind_of(*value), "null");
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto value = model.find(key);
      if (value == model.end() || value->is_null() || *value == "") continue;
      parts_.refuse_because(std::string("model.") + key, kind_of(*value), "null or an empty text");
    }
    // fuse_unk speaks of unknown characters, and a vocabulary with all bytes has none.
    read_boolean(model, "model", "fuse_unk", false);
    for (const char* key : {"byte_fallback", "ignore_merges"})
      require_boolean(model, "model", key, false, false);
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
};

std::string json_string(const std::string& text) {
  return Json(text).dump();
}

}  // namespace

Expected<Tokenizer> Tokenizer::parse_json(std::string_view text, std::string_view name) {
  Expected<Json> document = parse_strict_json(text, name);
  if (!document) return refuse(std::move(document).error());
  return TokenizerJsonReader(name).read(*document);
}

std::string Tokenizer::to_json() const {
  const TokenizerParts& parts = model_->parts;
  std::vector<std::string> keys(parts.pieces.size());
  for (std::size_t id = 0; id < keys.size(); ++id) keys[id] = byte_level_key(parts.pieces[id]);
  std::string json =
      "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  const char* separator = "\n";
  for (const AddedToken& token : parts.added) {
    const std::string& content = parts.pieces[static_cast<std::size_t>(token.id)];
    keys[static_cast<std::size_t>(token.id)] = content;
    json += fmt::format(
        "{}    {{\"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
        "\"normalized\": {}, \"special\": {}}}",
        separator, token.id, json_string(content), token.second_pass, token.special);
    separator = ",\n";
  }
  json +=
      "\n  ],\n  \"normalizer\": null,\n"
      "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
      "\"use_regex\": true},\n"
      "  \"post_processor\": null,\n"
      "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
      "\"use_regex\": "
      "true},\n"
      "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": "
      "false,\n"
      "    \"byte_fallback\": false,\n    \"vocab\": {";
  separator = "\n";
  for (std::size_t id = 0; id < keys.size(); ++id) {
    json += fmt::format("{}      {}: {}", separator, json_string(keys[id]), id);
    separator = ",\n";
  }
  json += "\n    },\n    \"merges\": [";
  separator = "\n";
  for (const Merge& merge : parts.merges) {
    // No key holds a space: the byte 32 has a character of its own.
    json += fmt::format("{}      {}", separator,
                        json_string(keys[static_cast<std::size_t>(merge.left)] + " " +
                                    keys[static_cast<std::size_t>(merge.right)]));
    separator = ",\n";
  }
  json += "\n    ]\n  }\n}\n";
  return json;
}

}  // namespace megalith
