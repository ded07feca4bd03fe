#include "data/tokenizer/strict_json.h"

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "data/tokenizer/quoted.h"

namespace megalith {
namespace {

constexpr int kDeepest = 32;

// Watches the parser's events. Never throws; what is too deep is discarded as it comes, so it takes no
// memory.
class Watch {
 public:
  bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (depth > kDeepest) {
      too_deep_ = true;
      return false;
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end && !keys_.empty()) keys_.pop_back();
    if (event == Event::key && !keys_.empty()) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second && repeated_.empty()) repeated_ = quoted_for_message(key);
    }
    return true;
  }
  [[nodiscard]] bool too_deep() const { return too_deep_; }
  [[nodiscard]] const std::string& repeated() const { return repeated_; }

 private:
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
  std::string repeated_;
  bool too_deep_ = false;
};

}  // namespace

Expected<nlohmann::json> parse_strict_json(std::string_view text, std::string_view name) {
  Watch watch;
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(text.begin(), text.end(), std::ref(watch));
  } catch (const nlohmann::json::exception& error) {
    std::string_view found = error.what();  // behind the library's "[json.exception.parse_error.101] "
    if (const std::size_t end = found.find("] "); found.starts_with('[') && end != std::string_view::npos)
      found.remove_prefix(end + 2);
    return refuse({.where = std::string(name),
                   .found = printable(found, 200),
                   .allowed = "a JSON document",
                   .nearest = ""});
  }
  if (watch.too_deep()) {
    return refuse({.where = std::string(name),
                   .found = "nesting deeper than 32",
                   .allowed = "at most 32 levels",
                   .nearest = ""});
  }
  if (!watch.repeated().empty()) {
    return refuse({.where = std::string(name),
                   .found = fmt::format("key {} twice in one object", watch.repeated()),
                   .allowed = "each key once",
                   .nearest = ""});
  }
  return document;
}

std::string kind_of(const nlohmann::json& value) {
  using Kind = nlohmann::json::value_t;
  switch (value.type()) {
    case Kind::null:
      return "null";
    case Kind::object:
      return "an object";
    case Kind::array:
      return "an array";
    case Kind::string:
      return quoted_for_message(value.get_ref<const std::string&>());
    case Kind::boolean:
      return value.get<bool>() ? "true" : "false";
    case Kind::number_integer:
      return std::to_string(value.get<std::int64_t>());
    case Kind::number_unsigned:
      return std::to_string(value.get<std::uint64_t>());
    case Kind::number_float:
      return fmt::format("{}", value.get<double>());
    default:
      return "nothing";
  }
}

}  // namespace megalith
