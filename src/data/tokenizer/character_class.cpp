#include "data/tokenizer/character_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

struct Character {
  std::int32_t point = -1;  // -1: none, or not UTF-8
  std::size_t size = 0;     // bytes
};

Character first_of(std::string_view text) {
  Character character{.size = utf8_sequence_length(text)};
  if (character.size > 0) {
    utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(character.size), &character.point);
  }
  return character;
}

Character last_of(std::string_view text) {
  for (std::size_t size = 1; size <= std::min<std::size_t>(4, text.size()); ++size) {
    const std::string_view end = text.substr(text.size() - size);
    if (utf8_sequence_length(end) == size) return first_of(end);
  }
  return {};
}

bool is_white_space(std::int32_t point) {
  return (point >= 0x09 && point <= 0x0D) || point == 0x20 || point == 0x85 || point == 0xA0 ||
         point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
         point == 0x202F || point == 0x205F || point == 0x3000;
}

// Letters in circles and squares are Alphabetic though their category is "other symbol".
bool is_enclosed_letter(std::int32_t point) {
  return (point >= 0x24B6 && point <= 0x24E9) || (point >= 0x1F130 && point <= 0x1F149) ||
         (point >= 0x1F150 && point <= 0x1F169) || (point >= 0x1F170 && point <= 0x1F189);
}

bool is_word(std::int32_t point) {
  if (point < 0) return false;
  switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return is_enclosed_letter(point) || point == 0x200C || point == 0x200D;
  }
}

}  // namespace

std::size_t white_space_at_start(std::string_view text) {
  std::size_t size = 0;
  for (Character next = first_of(text); is_white_space(next.point); next = first_of(text.substr(size)))
    size += next.size;
  return size;
}

std::size_t white_space_at_end(std::string_view text) {
  std::size_t size = 0;
  for (Character last = last_of(text); is_white_space(last.point);
       last = last_of(text.substr(0, text.size() - size)))
    size += last.size;
  return size;
}

bool starts_with_word(std::string_view text) {
  return is_word(first_of(text).point);
}

bool ends_with_word(std::string_view text) {
  return is_word(last_of(text).point);
}

}  // namespace megalith
