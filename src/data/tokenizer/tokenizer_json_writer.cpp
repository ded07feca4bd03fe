// Writes the tokenizer.json that tokenizer_json.cpp and Hugging Face's `tokenizers` read as the same
// tokenizer.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/pre_tokenizer_json.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {
namespace {

using Json = nlohmann::json;

std::string json_string(std::string_view text) {
  return Json(text).dump();
}

// What goes around one text, and around the first and the second of a pair.
std::string post_processor_json(const TokenizerParts& parts, const std::vector<std::string>& keys) {
  if (parts.before.empty() && parts.after.empty()) return "null";
  Json tokens = Json::object();
  const auto around = [&](const char* text, int type) {
    Json items = Json::array();
    const auto add = [&](const std::vector<std::int32_t>& ids) {
      for (const std::int32_t id : ids) {
        const std::string& key = keys[static_cast<std::size_t>(id)];
        items.push_back(Json::object({{"SpecialToken", Json::object({{"id", key}, {"type_id", type}})}}));
        tokens[key] = Json::object({{"id", key}, {"ids", Json::array({id})}, {"tokens", Json::array({key})}});
      }
    };
    add(parts.before);
    items.push_back(Json::object({{"Sequence", Json::object({{"id", text}, {"type_id", type}})}}));
    add(parts.after);
    return items;
  };
  const Json single = around("A", 0);
  Json pair = single;
  for (const Json& item : around("B", 1)) pair.push_back(item);
  return Json::object(
             {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}})
      .dump();
}

}  // namespace

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
        "{}    {{\"id\": {}, \"content\": {}, \"single_word\": {}, \"lstrip\": {}, \"rstrip\": {}, "
        "\"normalized\": {}, \"special\": {}}}",
        separator, token.id, json_string(content), token.single_word, token.lstrip, token.rstrip,
        token.second_pass, token.special);
    separator = ",\n";
  }
  json += fmt::format(
      "\n  ],\n  \"normalizer\": {},\n  \"pre_tokenizer\": {},\n  \"post_processor\": {},\n"
      "  \"decoder\": {{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
      "\"use_regex\": true}},\n"
      "  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
      "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n{}    \"vocab\": {{",
      parts.nfc ? "{\"type\": \"NFC\"}" : "null", pre_tokenizer_json(parts), post_processor_json(parts, keys),
      parts.whole_pieces ? "    \"ignore_merges\": true,\n" : "");
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
