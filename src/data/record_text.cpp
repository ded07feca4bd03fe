#include "data/record_text.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "data/tokenizer/quoted.h"
#include "data/tokenizer/strict_json.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kExcerpt = 200;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

RecordText plain_text(std::string_view block, std::int64_t offset, bool keep_invalid_bytes) {
  RecordText result;
  if (keep_invalid_bytes) {
    result.text = block;
    return result;
  }
  for (std::size_t at = 0; at < block.size();) {
    const std::string_view rest = block.substr(at);
    const std::size_t valid = valid_utf8_prefix(rest);
    result.text += rest.substr(0, valid);
    const std::string_view broken = rest.substr(valid);
    const std::size_t invalid = invalid_utf8_prefix(broken, broken.size());
    if (invalid > 0) {
      std::string excerpt;
      for (const char c : broken.substr(0, std::min<std::size_t>(invalid, 16)))
        excerpt += fmt::format("{:02x} ", static_cast<unsigned char>(c));
      excerpt.pop_back();
      result.quarantined.push_back({.offset = offset + static_cast<std::int64_t>(at + valid),
                                    .bytes = static_cast<std::int64_t>(invalid),
                                    .reason = "bytes that are not UTF-8",
                                    .excerpt = std::move(excerpt)});
    }
    at += valid + invalid;
  }
  return result;
}

// Reads a line, or says why not.
class LineReader {
 public:
  explicit LineReader(const std::string& text_key) : text_key_(text_key) {}

  bool read(std::string_view line, RecordText& result) {
    Expected<Json> document = parse_strict_json(line, "line");
    if (!document) {
      reason = document.error().front().found;
      return false;
    }
    if (!document->is_object()) {
      reason = kind_of(*document) + " where an object should be";
      return false;
    }
    if (!read_texts(*document, result)) return false;
    const auto meta = document->find("meta");
    if (meta != document->end() && meta->is_object()) {
      const auto name = meta->find("pile_set_name");
      if (name != meta->end() && name->is_string()) result.source = name->get<std::string>();
    }
    return true;
  }

  std::string reason;

 private:
  bool read_texts(Json& object, RecordText& result) {
    if (object.contains(text_key_)) return read_text(object, text_key_, result.text);
    if (!object.contains("prompt") || !object.contains("completion")) {
      reason = fmt::format("no \"{}\", nor \"prompt\" and \"completion\"", printable(text_key_, 60));
      return false;
    }
    result.is_pair = true;
    return read_text(object, "prompt", result.prompt) && read_text(object, "completion", result.text);
  }

  bool read_text(Json& object, const std::string& key, std::string& text) {
    Json& value = object[key];
    if (!value.is_string()) {
      reason = fmt::format("\"{}\" is {} and not a text", printable(key, 60), kind_of(value));
      return false;
    }
    text = std::move(value.get_ref<std::string&>());
    return true;
  }

  const std::string& text_key_;
};

RecordText json_text(std::string_view line, const Record& record, const std::string& text_key) {
  RecordText result;
  if (!record.too_long && is_blank(line)) return result;
  LineReader reader(text_key);
  if (record.too_long) {
    reader.reason =
        fmt::format("a line of {} bytes, of which at most {} are read", record.bytes, kLongestRecord);
  } else if (reader.read(line, result)) {
    if (!is_blank(result.text)) return result;
    result.text.clear();
    result.prompt.clear();
    return result;
  }
  result = {};
  result.quarantined.push_back({.offset = record.offset,
                                .bytes = record.bytes,
                                .reason = std::move(reader.reason),
                                .excerpt = printable(line, kExcerpt)});
  return result;
}

}  // namespace

RecordText text_of_record(const RecordBatch& batch, const Record& record, const RecordRules& rules) {
  const std::string_view text = batch.text_of(record);
  return record.is_json ? json_text(text, record, rules.text_key)
                        : plain_text(text, record.offset, rules.keep_invalid_bytes);
}

}  // namespace megalith
