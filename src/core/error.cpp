#include "core/error.h"

#include <cstdio>
#include <cstdlib>

namespace megalith {

std::string to_string(const Refusal& refusal) {
  std::string text = refusal.where;
  const char* separator = text.empty() ? "" : ": ";
  const auto add = [&](const char* label, const std::string& part) {
    if (part.empty()) return;
    text += separator;
    text += label;
    text += part;
    separator = "; ";
  };
  add("found ", refusal.found);
  add("allowed: ", refusal.allowed);
  add("try: ", refusal.nearest);
  return text;
}

std::string to_string(const Refusals& refusals) {
  std::string text;
  for (const Refusal& refusal : refusals) {
    if (!text.empty()) text += '\n';
    text += to_string(refusal);
  }
  return text;
}

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "megalith: bug at %s:%d: %s does not hold. %s\n", file, line, condition,
               message.c_str());
  std::abort();
}

}  // namespace megalith
