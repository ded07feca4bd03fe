// Learns a byte-pair encoding from text: again and again the most frequent pair of adjacent pieces becomes
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/tokenizer/text_source.h"
#include "data/tokenizer/tokenizer.h"

namespace megalith {

struct BpeTrainingOptions {
  // Entries wanted, special tokens and the 256 bytes included: 256 + special tokens to 2^20.
  std::int32_t vocabulary_size = 4096;
  // Their ids are the first ones, in this order; the bytes follow in the order of the byte-level alphabet.
  std::vector<std::string> special_tokens = {"<|endoftext|>"};
  PiecePattern pattern = PiecePattern::gpt2;
  int num_threads = 1;  // 1 to 1024; changes the speed, never the result
  // Pairs that occur less often are not merged: a pair seen once would only memorize one word.
  std::int64_t least_pair_count = 2;
  // Room for distinct pieces, in bytes; at most 2^30. Past it the rarest are forgotten (count_pieces says
  // how). Training needs up to 40 bytes of memory for each.
  std::size_t most_distinct_bytes = std::size_t{32} << 20;
};

struct BpeTrainingReport {
  std::uint64_t text_bytes = 0;
  std::int64_t pieces = 0;
  std::int64_t distinct_pieces = 0;
  std::int64_t forgotten_pieces = 0;
};

// Reads `source` to its end. Of equally frequent pairs the one with the lexicographically greatest bytes (of
// the left piece, then of the right) goes first, so the result is a function of the text alone. Special
// tokens in the text are text. A text too small for the size wanted gives a smaller vocabulary: see
// Tokenizer::vocabulary_size(). Refused: options out of range, special tokens that repeat or spell a piece of
// the vocabulary.
Expected<Tokenizer> train_bpe(TextSource& source, const BpeTrainingOptions& options,
                              BpeTrainingReport* report = nullptr);

}  // namespace megalith
