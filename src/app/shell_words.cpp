#include "app/shell_words.h"

#include <errno.h>  // program_invocation_name, of glibc and musl

#include <algorithm>
#include <cctype>
#include <string_view>

namespace megalith::app {

std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/._-+@=,:").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

std::string invoked_as() {
  return shell_word(program_invocation_name);
}

}  // namespace megalith::app
