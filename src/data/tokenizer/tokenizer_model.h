// What a tokenizer consists of. Loaders and the trainer make TokenizerParts; Tokenizer::build checks them and
// derives the tables that encoding needs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizer/added_token_matcher.h"
#include "data/tokenizer/bpe_merges.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

// Ids in merges and added tokens are indices of `pieces`, and each merge joins the bytes of its two.
struct TokenizerParts {
  std::vector<std::string> pieces;  // bytes of each id
  std::vector<Merge> merges;        // in order of rank
  std::vector<AddedToken> added;    // in any order
  PiecePattern pattern = PiecePattern::gpt2;
  bool nfc = false;           // text is brought to normalization form C first
  bool prefix_space = false;  // text between added tokens gets a space in front where it has none
  // A piece that is a vocabulary entry is that entry, whatever the merges would make of it.
  bool whole_pieces = false;
  // What the file asks to put around a text. encode() does not: see Tokenizer::ids_before.
  std::vector<std::int32_t> before, after;
};

struct TokenizerModel {
  explicit TokenizerModel(PiecePattern pattern) : splitter(pattern) {}

  TokenizerParts parts;  // `added` in increasing order of id
  MergeTable merges;
  std::array<std::int32_t, 256> byte_ids{};  // -1: no entry, and the byte never occurs in UTF-8
  PieceSplitter splitter;
  std::unordered_map<std::string_view, std::int32_t> whole;  // by bytes, into parts; filled for whole_pieces
  // By pass, without and with the special ones.
  std::array<AddedTokenMatcher, 2> always_matched;
  std::array<AddedTokenMatcher, 2> all_matched;
  std::optional<std::int32_t> end_of_document;
  std::uint64_t digest = 0;
};

inline constexpr std::string_view kEndOfDocument = "<|endoftext|>";
// Names of the same in tokenizers of other families, where that is not there: Llama 3, Mistral.
inline constexpr std::array<std::string_view, 2> kOtherEndsOfDocument = {"<|end_of_text|>", "</s>"};
inline constexpr std::size_t kLongestAddedToken = 256;      // bytes
inline constexpr std::size_t kLargestVocabulary = 1 << 24;  // entries of a file we load

}  // namespace megalith
