// The patterns that cut text into pieces: four published ones, each known by the regular expression that
// tokenizer.json files carry.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace megalith {

enum class PiecePattern {
  gpt2,    // GPT-2, GPT-3 (r50k, p50k), GPT-NeoX
  cl100k,  // GPT-4, Llama 3: contractions in any case, numbers in threes, newlines end a piece
  qwen2,   // cl100k with every digit on its own
  o200k,   // GPT-4o: cl100k with pieces that begin anew at a capital letter and end in a contraction
};

// "gpt2", "cl100k", "qwen2", "o200k".
std::string_view name_of(PiecePattern pattern);
// "gpt2, cl100k, qwen2 or o200k": for messages.
std::string pattern_names();
std::optional<PiecePattern> pattern_named(std::string_view name);

// The regular expression as Hugging Face's files spell it.
std::string_view regex_of(PiecePattern pattern);
// The pattern whose pieces `regex` gives on every text; nothing for a spelling that is not known.
std::optional<PiecePattern> pattern_of_regex(std::string_view regex);

// The same pieces for PCRE2 with UTF on: Unicode's white space spelled out, and possessive where that changes
// no match, which keeps time linear and the stack small.
std::string pcre2_source_of(PiecePattern pattern);

// A pattern with one group for each CharacterKind (character_kind.h), in the order of their bits: it matches
// a run of characters of one kind.
std::string pcre2_source_of_kinds();

}  // namespace megalith
