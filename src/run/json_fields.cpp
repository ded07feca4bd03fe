#include "run/json_fields.h"

#include <utility>

namespace megalith {
namespace {

using nlohmann::json;

constexpr std::size_t kShown = 60;  // bytes of a value that a message repeats

std::string shown(const json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  const std::string text = in_quotes(value.dump(-1, ' ', true));
  return text.substr(1, text.size() - 2);
}

[[noreturn]] void bad_document(const std::string& where, std::string found) {
  throw BadField{{.where = where, .found = std::move(found), .allowed = "one JSON document", .nearest = ""}};
}

}  // namespace

json parse_json(std::string_view text, const std::string& where, int max_depth) {
  // The library takes a NUL byte for the end of the text.
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    bad_document(where, fmt::format("a NUL byte at offset {}", nul));
  }
  const auto watch_depth = [&](int depth, json::parse_event_t, const json&) {
    if (depth > max_depth) bad_document(where, fmt::format("nesting deeper than {}", max_depth));
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch_depth);
  } catch (const json::parse_error& error) {
    bad_document(where, fmt::format("something else at byte {}", error.byte));
  } catch (const json::out_of_range&) {
    bad_document(where, "a number too large for a double");
  }
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      result += c;
    } else {
      result += fmt::format("\\x{:02x}", byte);
    }
  }
  return result + (text.size() > kShown ? "...\"" : "\"");
}

std::uint64_t parse_hex(std::string_view text, const std::string& where) {
  std::uint64_t value = 0;
  bool good = text.size() == 16;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) good = false;
    value = value << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
    if (!good) break;
  }
  if (good) return value;
  throw BadField{{.where = where,
                  .found = in_quotes(text),
                  .allowed = "16 lower-case hexadecimal digits",
                  .nearest = ""}};
}

JsonFields::JsonFields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) {
    throw BadField{{.where = where_, .found = shown(object_), .allowed = "a JSON object", .nearest = ""}};
  }
}

std::string JsonFields::where(const char* name) const {
  return where_ + " " + name;
}

void JsonFields::bad(const char* name, const std::string& allowed) const {
  const auto field = object_.find(name);
  throw BadField{{.where = where(name),
                  .found = field == object_.end() ? "nothing" : shown(*field),
                  .allowed = allowed,
                  .nearest = ""}};
}

const json& JsonFields::any(const char* name) const {
  const auto field = object_.find(name);
  if (field == object_.end()) bad(name, "a value");
  return *field;
}

std::int64_t JsonFields::integer(const char* name, std::int64_t least, std::int64_t most) const {
  const json& value = any(name);
  // Numbers from 2^63 up are unsigned to the library and would wrap.
  const bool wraps = value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  if (value.is_number_integer() && !wraps) {
    const auto number = value.get<std::int64_t>();
    if (number >= least && number <= most) return number;
  }
  bad(name, fmt::format("an integer from {} to {}", least, most));
}

const std::string& JsonFields::text(const char* name) const {
  const json& value = any(name);
  if (!value.is_string()) bad(name, "a string");
  return value.get_ref<const std::string&>();
}

bool JsonFields::boolean(const char* name) const {
  const json& value = any(name);
  if (!value.is_boolean()) bad(name, "true or false");
  return value.get<bool>();
}

double JsonFields::number(const char* name) const {
  const json& value = any(name);
  if (!value.is_number()) bad(name, "a number");
  return value.get<double>();
}

std::uint64_t JsonFields::hex(const char* name) const {
  return parse_hex(text(name), where(name));
}

const json& JsonFields::array(const char* name) const {
  const json& value = any(name);
  if (!value.is_array()) bad(name, "an array");
  return value;
}

std::string dump_json(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string dump_json(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace megalith
