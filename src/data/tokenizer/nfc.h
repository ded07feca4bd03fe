// Unicode's normalization form C, which some tokenizers (GPT-NeoX, Qwen2) apply to the text first.
#pragma once

#include <string>
#include <string_view>

namespace megalith {

// True when `text` is so obviously normal that nothing has to be computed: no code point from U+0300 on.
// Bytes that are not UTF-8 do not count as obvious.
bool is_obviously_nfc(std::string_view text);

// `text` in form C. Runs of bytes that are not UTF-8 stay as they are, and the text ends before and starts
// anew behind them. The characters are those of the Unicode version that utf8proc was built with (15 in 2.8);
// those assigned later stay as they are. O(n log n) at worst, memory about 4 bytes per byte of the longest
// stretch without ASCII.
std::string to_nfc(std::string_view text);

}  // namespace megalith
