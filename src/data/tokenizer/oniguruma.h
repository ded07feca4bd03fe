// Regular expressions as tokenizer.json files carry them. Hugging Face's library runs them with Oniguruma;
// PCRE2 finds the same matches once they are translated.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace megalith {

// Inside a character class of PCRE2 with UTF on. White space is Unicode's White_Space, which has not changed
// since version 6.3 (PCRE2's own \s also has U+180E); words are \w of Oniguruma.
inline constexpr const char* kPcre2WhiteSpace =
    R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
inline constexpr const char* kPcre2Word = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

// The same pattern for PCRE2 with UTF and MULTILINE on and lines that end with LF. Refused by name: a
// construct that is not known to mean the same in both, or that cannot be translated. REQUIRES: UTF-8.
Expected<std::string> pcre2_source_of_oniguruma(std::string_view regex);

// A pattern that finds `text`, letter by letter.
std::string pcre2_source_of_literal(std::string_view text);

}  // namespace megalith
