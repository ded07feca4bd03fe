// Strict reading of small JSON documents from disk, for this room and the one above; included by .cpp files
// only, because the JSON library is slow to compile.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace megalith {

// Carries a refusal out of nested reading; parse functions catch it and return the refusal.
struct BadField {
  Refusal refusal;
};

// The document, or BadField: malformed JSON, a NUL byte, bytes after the end, or nesting deeper than
// `max_depth` (a few megabytes of '[' would otherwise become gigabytes of nodes).
nlohmann::json parse_json(std::string_view text, const std::string& where, int max_depth);

// The text in quotes for a message: control and non-ASCII bytes as \xNN, at most 60 bytes of it.
std::string in_quotes(std::string_view text);

// Exactly 16 lower-case hexadecimal digits; BadField otherwise.
std::uint64_t parse_hex(std::string_view text, const std::string& where);

// One JSON object whose fields must be there with the right type and range; each getter throws BadField
// otherwise. Unknown fields are ignored, so that a later release may add some.
class JsonFields {
 public:
  // REQUIRES: `object` outlives this.
  JsonFields(const nlohmann::json& object, std::string where);
  [[nodiscard]] bool has(const char* name) const { return object_.contains(name); }
  [[nodiscard]] const nlohmann::json& any(const char* name) const;
  [[nodiscard]] std::int64_t integer(const char* name, std::int64_t least, std::int64_t most) const;
  [[nodiscard]] const std::string& text(const char* name) const;
  [[nodiscard]] bool boolean(const char* name) const;
  [[nodiscard]] double number(const char* name) const;
  [[nodiscard]] std::uint64_t hex(const char* name) const;
  [[nodiscard]] const nlohmann::json& array(const char* name) const;
  [[nodiscard]] std::string where(const char* name) const;  // "manifest.json step"
  [[noreturn]] void bad(const char* name, const std::string& allowed) const;

 private:
  const nlohmann::json& object_;
  std::string where_;
};

// One line of text; bytes that are not UTF-8 become U+FFFD.
std::string dump_json(const nlohmann::json& value);
std::string dump_json(const nlohmann::ordered_json& value);

}  // namespace megalith
