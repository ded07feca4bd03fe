#include "data/record_text.h"

#include <simdjson.h>

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
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

// What the two parsers below have in common: a value that may be a text, and what to call it if it is none.
struct Field {
  bool is_there = false;
  std::optional<std::string_view> text;
  std::string kind;  // where it is no text
};

struct Fields {
  Field text, prompt, completion;
  std::string_view source;
};

bool take_text(const Field& field, const std::string& key, std::string& text, std::string& reason) {
  if (!field.text) {
    reason = fmt::format("\"{}\" is {} and not a text", printable(key, 60), field.kind);
    return false;
  }
  text = *field.text;
  return true;
}

bool take_texts(const Fields& fields, const std::string& text_key, RecordText& result, std::string& reason) {
  result.source = fields.source;
  if (fields.text.is_there) return take_text(fields.text, text_key, result.text, reason);
  if (!fields.prompt.is_there || !fields.completion.is_there) {
    reason = fmt::format("no \"{}\", nor \"prompt\" and \"completion\"", printable(text_key, 60));
    return false;
  }
  result.is_pair = true;
  return take_text(fields.prompt, "prompt", result.prompt, reason) &&
         take_text(fields.completion, "completion", result.text, reason);
}

// The thorough parser: says what is wrong and where, and takes numbers of any size.
bool read_thoroughly(std::string_view line, const std::string& text_key, RecordText& result,
                     std::string& reason) {
  const Expected<Json> document = parse_strict_json(line, "line");
  if (!document || !document->is_object()) {
    reason = document ? kind_of(*document) + " where an object should be" : document.error().front().found;
    return false;
  }
  const auto field = [&](const std::string& key) {
    const auto value = document->find(key);
    if (value == document->end()) return Field{};
    if (!value->is_string()) return Field{.is_there = true, .text = std::nullopt, .kind = kind_of(*value)};
    return Field{.is_there = true, .text = value->get_ref<const std::string&>(), .kind = ""};
  };
  Fields fields{
      .text = field(text_key), .prompt = field("prompt"), .completion = field("completion"), .source = {}};
  const auto meta = document->find("meta");
  if (meta != document->end() && meta->is_object()) {
    const auto name = meta->find("pile_set_name");
    if (name != meta->end() && name->is_string()) fields.source = name->get_ref<const std::string&>();
  }
  return take_texts(fields, text_key, result, reason);
}

constexpr std::size_t kDeepest = 32;

}  // namespace

struct RecordParser::Scratch {
  simdjson::dom::parser parser;
};

RecordParser::RecordParser(RecordRules rules)
    : rules_(std::move(rules)), scratch_(std::make_unique<Scratch>()) {
  if (scratch_->parser.allocate(std::size_t{1} << 16, kDeepest) != simdjson::SUCCESS) throw std::bad_alloc();
}
RecordParser::~RecordParser() = default;
RecordParser::RecordParser(RecordParser&& other) noexcept = default;

// The fast parser answers where everything is as it should be; the thorough one has the last word on the
// rest.
bool RecordParser::read_line(std::string_view line, RecordText& result, std::string& reason) {
  simdjson::dom::object object;
  if (scratch_->parser.parse(line.data(), line.size()).get(object) != simdjson::SUCCESS)
    return read_thoroughly(line, rules_.text_key, result, reason);
  Fields fields;
  bool repeated = false, whole = true;
  const auto note = [&](Field& field, const simdjson::dom::element& value) {
    repeated = repeated || field.is_there;
    field.is_there = true;
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) field.text = text;
    whole = whole && field.text.has_value();
  };
  for (const auto& [key, value] : object) {
    if (key == rules_.text_key) {
      note(fields.text, value);
    } else if (key == "prompt") {
      note(fields.prompt, value);
    } else if (key == "completion") {
      note(fields.completion, value);
    } else if (key == "meta") {
      std::string_view name;
      if (value.at_key("pile_set_name").get(name) == simdjson::SUCCESS) fields.source = name;
    }
  }
  if (repeated || !whole || !take_texts(fields, rules_.text_key, result, reason)) {
    result = {};
    return read_thoroughly(line, rules_.text_key, result, reason);
  }
  return true;
}

RecordText RecordParser::parse_line(std::string_view line, const Record& record) {
  RecordText result;
  if (!record.too_long && is_blank(line)) return result;
  std::string reason;
  if (record.too_long) {
    reason = fmt::format("a line of {} bytes, of which at most {} are read", record.bytes, kLongestRecord);
  } else if (read_line(line, result, reason)) {
    if (!is_blank(result.text)) return result;
    result.text.clear();
    result.prompt.clear();
    return result;
  }
  result = {};
  result.quarantined.push_back({.offset = record.offset,
                                .bytes = record.bytes,
                                .reason = std::move(reason),
                                .excerpt = printable(line, kExcerpt)});
  return result;
}

RecordText RecordParser::parse(const RecordBatch& batch, const Record& record) {
  const std::string_view text = batch.text_of(record);
  return record.is_json ? parse_line(text, record)
                        : plain_text(text, record.offset, rules_.keep_invalid_bytes);
}

}  // namespace megalith
