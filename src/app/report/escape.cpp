#include "app/report/escape.h"

#include <fmt/format.h>

#include <cstdint>

namespace megalith::app {
namespace {

struct Character {
  std::uint32_t code = 0;
  std::size_t size = 1;
  bool valid = false;
};

// The character at the start of `text`; not valid: one byte to be shown as such. REQUIRES: text is not empty.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {.code = lead, .size = 1, .valid = true};
  std::size_t size = 0;
  std::uint32_t least = 0;
  if (lead >= 0xC2 && lead <= 0xDF) size = 2, least = 0x80;
  if (lead >= 0xE0 && lead <= 0xEF) size = 3, least = 0x800;
  if (lead >= 0xF0 && lead <= 0xF4) size = 4, least = 0x10000;
  if (size == 0 || text.size() < size) return {};
  std::uint32_t code = lead & (0xFFu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (code < least || code > 0x10FFFF || surrogate) return {};
  return {.code = code, .size = size, .valid = true};
}

// Characters that would change how the text around them is read.
bool must_be_shown(std::uint32_t code) {
  if (code == '\n' || code == '\t') return false;
  const bool control = code < 0x20 || (code >= 0x7F && code <= 0x9F);
  const bool reorders = (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  const bool hides = code == 0x200B || code == 0x200E || code == 0x200F || code == 0xFEFF || code == 0xFFFE;
  return control || reorders || hides;
}

std::string visible_code(std::uint32_t code) {
  return code < 0x100 ? fmt::format("\\x{:02X}", code) : fmt::format("\\u{:04X}", code);
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string html;
  html.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const Character character = first_character(text);
    if (!character.valid) {
      html += fmt::format("<span class=\"byte\">\\x{:02X}</span>", static_cast<std::uint8_t>(text[0]));
    } else if (must_be_shown(character.code)) {
      html += "<span class=\"byte\">" + visible_code(character.code) + "</span>";
    } else {
      switch (character.code) {
        case '&':
          html += "&amp;";
          break;
        case '<':
          html += "&lt;";
          break;
        case '>':
          html += "&gt;";
          break;
        case '"':
          html += "&quot;";
          break;
        case '\'':
          html += "&#39;";
          break;
        default:
          html += text.substr(0, character.size);
      }
    }
    text.remove_prefix(character.size);
  }
  return html;
}

std::string show_invalid_utf8(std::string_view text, std::string_view backslash) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.valid) {
      shown += text.substr(0, character.size);
    } else {
      shown += fmt::format("{}x{:02X}", backslash, static_cast<std::uint8_t>(text[0]));
    }
    text.remove_prefix(character.size);
  }
  return shown;
}

}  // namespace megalith::app
