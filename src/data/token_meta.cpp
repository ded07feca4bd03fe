#include "data/token_meta.h"

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "data/tokenizer/strict_json.h"

namespace megalith {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "megalith-tokens";
constexpr std::size_t kLargestMeta = std::size_t{64} << 20;

bool is_digest(const std::string& text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Takes fields out of an object and collects what is wrong with them.
class FieldReader {
 public:
  FieldReader(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  std::string text(const char* key) {
    const nlohmann::json* value = find(key);
    if (value != nullptr && value->is_string()) return value->get<std::string>();
    wrong(key, value, "a string");
    return "";
  }

  std::string digest(const char* key) {
    std::string value = text(key);
    if (!value.empty() && !is_digest(value)) {
      refusals.push_back({.where = where_,
                          .found = fmt::format("\"{}\": {}", key, nlohmann::json(value).dump()),
                          .allowed = "16 hexadecimal digits",
                          .nearest = ""});
    }
    return value;
  }

  bool flag(const char* key) {
    const nlohmann::json* value = find(key);
    if (value != nullptr && value->is_boolean()) return value->get<bool>();
    wrong(key, value, "true or false");
    return false;
  }

  std::vector<std::string> texts(const char* key) {
    const nlohmann::json* value = find(key);
    std::vector<std::string> all;
    if (value == nullptr || !value->is_array()) {
      wrong(key, value, "a list of texts");
      return all;
    }
    for (const nlohmann::json& one : *value) {
      if (!one.is_string()) wrong(key, &one, "texts");
      all.push_back(one.is_string() ? one.get<std::string>() : "");
    }
    return all;
  }

  std::int64_t count(const char* key) {
    const nlohmann::json* value = find(key);
    if (value != nullptr && value->is_number_unsigned() &&
        value->get<std::uint64_t>() < std::uint64_t{1} << 63) {
      return value->get<std::int64_t>();
    }
    wrong(key, value, "an integer from 0 up");
    return 0;
  }

  Refusals refusals;

 private:
  [[nodiscard]] const nlohmann::json* find(const char* key) const {
    const auto at = object_.find(key);
    return at == object_.end() ? nullptr : &*at;
  }
  void wrong(const char* key, const nlohmann::json* value, const char* allowed) {
    refusals.push_back({.where = where_,
                        .found = value == nullptr ? fmt::format("no \"{}\"", key)
                                                  : fmt::format("\"{}\": {}", key, kind_of(*value)),
                        .allowed = allowed,
                        .nearest = ""});
  }

  const nlohmann::json& object_;
  std::string where_;
};

Expected<TokenMeta> parse(const nlohmann::json& json, const std::string& where) {
  if (!json.is_object())
    return refuse({.where = where, .found = kind_of(json), .allowed = "an object", .nearest = ""});
  FieldReader fields(json, where);
  if (fields.text("format") != kFormat || fields.count("version") != 1) {
    return refuse({.where = where,
                   .found = "another format or version",
                   .allowed = fmt::format("\"format\": \"{}\", \"version\": 1", kFormat),
                   .nearest = ""});
  }
  TokenMeta meta{.sources = {},
                 .part = fields.text("part"),
                 .tokenizer_digest = fields.digest("tokenizer_digest"),
                 .vocabulary = fields.count("vocabulary"),
                 .bytes = fields.count("bytes"),
                 .tokens = fields.count("tokens"),
                 .documents = fields.count("documents"),
                 .bin_digest = fields.digest("bin_digest"),
                 .idx_digest = fields.digest("idx_digest")};
  if (json.contains("documents_digest")) {
    meta.documents_digest = fields.digest("documents_digest");
    meta.source_names = fields.texts("source_names");
    meta.has_prompts = fields.flag("has_prompts");
  }
  Refusals refusals = std::move(fields.refusals);
  const auto sources = json.find("sources");
  if (sources == json.end() || !sources->is_array()) {
    refusals.push_back(
        {.where = where, .found = "no list of sources", .allowed = "\"sources\": [...]", .nearest = ""});
    return refuse(std::move(refusals));
  }
  for (std::size_t i = 0; i < sources->size() && refusals.empty(); ++i) {
    const nlohmann::json& source = (*sources)[i];
    const std::string at = fmt::format("{}: sources[{}]", where, i);
    if (!source.is_object())
      return refuse({.where = at, .found = kind_of(source), .allowed = "an object", .nearest = ""});
    FieldReader entry(source, at);
    meta.sources.push_back(
        {.path = entry.text("path"), .bytes = entry.count("bytes"), .digest = entry.digest("digest")});
    refusals = std::move(entry.refusals);
  }
  if (!refusals.empty()) return refuse(std::move(refusals));
  return meta;
}

}  // namespace

std::string to_json(const TokenMeta& meta) {
  Json json = {{"format", kFormat},
               {"version", 1},
               {"part", meta.part},
               {"tokenizer_digest", meta.tokenizer_digest},
               {"vocabulary", meta.vocabulary},
               {"bytes", meta.bytes},
               {"tokens", meta.tokens},
               {"documents", meta.documents},
               {"bin_digest", meta.bin_digest},
               {"idx_digest", meta.idx_digest}};
  if (!meta.documents_digest.empty()) {
    json["documents_digest"] = meta.documents_digest;
    json["has_prompts"] = meta.has_prompts;
    json["source_names"] = meta.source_names;
  }
  json["sources"] = Json::array();
  for (const TokenMeta::Source& source : meta.sources) {
    json["sources"].push_back({{"path", source.path}, {"bytes", source.bytes}, {"digest", source.digest}});
  }
  // A path may be no UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Expected<std::optional<TokenMeta>> read_token_meta(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, error))) return std::nullopt;
  const Expected<std::string> text = read_file(path, kLargestMeta);
  if (!text) return tl::unexpected(text.error());
  const Expected<nlohmann::json> json = parse_strict_json(*text, path.string());
  if (!json) return tl::unexpected(json.error());
  Expected<TokenMeta> meta = parse(*json, path.string());
  if (!meta) return tl::unexpected(std::move(meta).error());
  return std::optional<TokenMeta>(std::move(*meta));
}

}  // namespace megalith
